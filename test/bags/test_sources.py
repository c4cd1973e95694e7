from __future__ import annotations

from pathlib import Path

import pytest
from mcap.writer import CompressionType, Writer

from vla_rl_nodes.bags.batch import Batch
from vla_rl_nodes.bags.reader import MESSAGES, EpisodeReader
from vla_rl_nodes.bags.sources import Source


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file in which every chunk has other bytes and another size."""
    path = tmp_path_factory.mktemp("large") / "x.mcap"
    with path.open("wb") as file:
        writer = Writer(file, 100_000, CompressionType.NONE)
        writer.start(profile="ros2")
        channel = writer.register_channel("/t", "cdr", 0)
        for number in range(50):
            writer.add_message(channel, number, payload(number), number)
        writer.finish()  # type: ignore[no-untyped-call]
    assert path.stat().st_size > 4 << 20
    return path


def payload(number: int) -> bytes:
    return bytes([number]) * (90_000 + 200 * number)


def test_a_batch_holds_until_the_next_one_is_read(large: Path) -> None:
    count = 0
    for piece in Source(large).pieces():
        if isinstance(piece, Batch) and len(piece):
            got = [message.data for message in piece.messages()]
            assert got == [payload(count + i) for i in range(len(got))]
            count += len(piece)
    assert count == 50


def test_files_of_many_chunks_are_read_in_order(large: Path) -> None:
    pieces = [p for p in Source(large).pieces() if isinstance(p, Batch)]
    assert sum(len(p) for p in pieces) == 50
    assert pieces[-1].progress > 0.9 and sorted(p.progress for p in pieces) == [
        p.progress for p in pieces
    ]
    reader = EpisodeReader(large, hold=lambda topic: MESSAGES)
    assert list(reader.cdr("/t")) == [payload(i) for i in range(50)]
    assert [m.data for m in reader] == [payload(i) for i in range(50)]
    some = reader.raw()
    assert [next(some).log_time_ns for _ in range(3)] == [0, 1, 2]
    some.close()
