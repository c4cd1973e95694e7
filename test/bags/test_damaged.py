"""Damaged and hostile bags: each is refused in one line that names it, and nothing crashes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from mcap.writer import CompressionType, Writer
from rosbags.rosbag2 import CompressionMode, StoragePlugin

from vla_rl_nodes.bags.reader import COLUMNS, EpisodeReader
from vla_rl_nodes.bags.schemas import schema_text
from vla_rl_nodes.bags.summary import summarise
from vla_rl_nodes.cli import main
from vla_rl_nodes.errors import InputError

from .damaged_bags import CASES, CDR, SCHEMA, SENT, SQLITE, bare, chunk, mcap, message
from .foreign_bags import write_foreign
from .sensor_messages import IMAGE


@contextmanager
def one_line() -> Iterator[list[str]]:
    """Allows bad input to be refused, in one line; gives what was said."""
    said: list[str] = []
    try:
        yield said
    except InputError as error:
        said.append(str(error))
    assert not any("\n" in line for line in said)


@pytest.mark.parametrize("name", list(CASES))
def test_is_one_line(tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    make, said = CASES[name]
    path = make(tmp_path)
    with pytest.raises(InputError, match=said) as caught:
        EpisodeReader(path, hold=lambda topic: COLUMNS)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 600
    assert str(caught.value).startswith(f"{caught.value.place}: ")
    # What is whole of it may be shown, or it is refused again; nothing else.
    with one_line():
        reader = EpisodeReader(path, partial=True)
        assert reader.problem is not None and "\n" not in reader.problem
        assert len(list(reader)) == sum(t.count for t in reader.topics.values())
        assert not summarise(path).closed
    assert main(["bag", "info", str(path)]) in (0, 2)
    assert "Traceback" not in capsys.readouterr().err


def test_a_folder_in_place_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "x.mcap").mkdir()
    with pytest.raises(InputError, match="holds no"):
        EpisodeReader(tmp_path / "x.mcap")


def test_types_and_topics_that_are_not_there(tmp_path: Path) -> None:
    path = bare(mcap(message()))(tmp_path)
    reader = EpisodeReader(path)
    for call in (
        reader.columns,
        lambda t: next(reader.cdr(t)),
        lambda t: reader.hold({t: COLUMNS}),
    ):
        with pytest.raises(InputError, match=r"has no messages on /none; it holds /t"):
            call("/none")
    unknown = SCHEMA.replace(b"sensor_msgs", b"nobody_msgs")
    path.write_bytes(mcap(message()).replace(SCHEMA, unknown))
    with pytest.raises(InputError, match="is no message type known here"):
        EpisodeReader(path, hold=lambda topic: COLUMNS).columns("/t")


def huge_lengths() -> list[bytes]:
    """A joint state of which one length after the other says four thousand million."""
    lengths = [
        i for i in range(4, len(CDR) - 4) if 0 < int.from_bytes(CDR[i : i + 4], "little") < 20
    ]
    return [CDR[:i] + b"\xff\xff\xff\xff" + CDR[i + 4 :] for i in lengths]


def test_absurd_lengths_in_messages_allocate_nothing(tmp_path: Path) -> None:
    refused = 0
    for data in huge_lengths():
        path = bare(mcap(message(), message(data=data)))(tmp_path)
        for hold in (None, lambda topic: COLUMNS):
            reader = EpisodeReader(path, hold=hold)
            with one_line() as lines:
                assert len(reader.columns("/t")) == 2
            refused += len(lines)
    assert refused >= 20


def test_changed_while_it_is_read(tmp_path: Path) -> None:
    path = bare(mcap(chunk(message() * 3), chunk(message() * 3)))(tmp_path)
    for edit in (
        lambda d: d[: len(d) // 2],
        lambda d: d.replace(b"/t", b"/\xff"),
        lambda d: mcap(chunk(message())),
    ):
        whole = path.read_bytes()
        reader = EpisodeReader(path)
        path.write_bytes(edit(whole))
        for read in (lambda r=reader: list(r), lambda r=reader: r.columns("/t")):
            with pytest.raises(InputError, match="changed while it was read"):
                read()
        path.write_bytes(whole)
    held = EpisodeReader(path, hold=lambda topic: COLUMNS)
    path.unlink()
    assert len(held.columns("/t")) == 6


def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    path = bare(mcap(message()))(tmp_path)
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("this user may read everything")
    with pytest.raises(InputError, match="cannot be read"):
        EpisodeReader(path)


@pytest.mark.parametrize("compression", list(CompressionType))
def test_every_flipped_byte_of_a_file_with_checksums_is_found(
    tmp_path: Path, compression: CompressionType
) -> None:
    path = tmp_path / "x.mcap"
    with path.open("wb") as file:
        writer = Writer(file, 3000, compression, enable_data_crcs=True)
        writer.start(profile="ros2")
        schema = writer.register_schema(IMAGE, "ros2msg", schema_text(IMAGE).encode())
        channel = writer.register_channel("/t", "cdr", schema)
        for s in (s for s in SENT if s.type_name == IMAGE):
            writer.add_message(channel, s.log_time_ns, s.cdr, s.publish_time_ns)
        writer.add_attachment(1, 1, "a", "b", b"c" * 50)
        writer.finish()  # type: ignore[no-untyped-call]
    whole = path.read_bytes()
    assert EpisodeReader(path).closed
    rng = np.random.default_rng(3)
    places = {
        *rng.integers(0, len(whole), 80).tolist(),
        *range(40),
        *range(len(whole) - 150, len(whole), 2),
    }
    for place in places:
        broken = bytearray(whole)
        broken[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(broken)
        with pytest.raises(InputError) as caught:
            EpisodeReader(path)
        assert "\n" not in str(caught.value)


def test_random_cuts_and_flips_of_foreign_bags_never_crash(tmp_path: Path) -> None:
    rng = np.random.default_rng(9)
    ways = [
        (StoragePlugin.MCAP, CompressionMode.NONE), (StoragePlugin.MCAP, CompressionMode.FILE),
        (StoragePlugin.MCAP, CompressionMode.MESSAGE), (SQLITE, CompressionMode.NONE),
        (SQLITE, CompressionMode.FILE), (SQLITE, CompressionMode.MESSAGE),
    ]  # fmt: skip
    refused = 0
    for number, (storage, mode) in enumerate(ways):
        folder = write_foreign(tmp_path / f"bag{number}", SENT, storage, mode)
        (path,) = (p for p in folder.iterdir() if p.name != "metadata.yaml")
        whole = path.read_bytes()
        for _ in range(15):
            broken = bytearray(whole)
            if rng.random() < 0.3:
                del broken[int(rng.integers(len(broken))) :]
            for place in rng.integers(0, max(1, len(broken)), 3):
                if broken:
                    broken[place] ^= 1 << int(rng.integers(8))
            path.write_bytes(broken)
            for partial in (False, True):
                with one_line() as said:
                    reader = EpisodeReader(folder, partial, lambda topic: COLUMNS)
                    list(reader)
                    for topic in reader.topics:
                        reader.columns(topic)
                refused += bool(said) and not partial
    assert refused > 45  # of 90: what has no checksum can hide a flipped bit
