"""Every kind of damage against an oracle that knows the undamaged file."""

from __future__ import annotations

import resource
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import zstandard
from mcap.writer import CompressionType

from .chunk_map import Block, Row, chunk_map, other_recorder, rows_of
from .sensor_messages import START_NS
from .tiny_bag import recovered, tiny_traffic, write_tiny

SENT = tiny_traffic(seed=1, chunks=3)
MUCH = tiny_traffic(seed=2, chunks=12)
FOREIGN = [(c, True) for c in CompressionType] + [(CompressionType.NONE, False)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("damage")


@pytest.fixture(scope="module")
def own(folder: Path) -> bytes:
    return write_tiny(folder / "own", SENT)


@pytest.fixture(scope="module")
def longer(folder: Path) -> bytes:
    return write_tiny(folder / "longer", MUCH)


def intact(blocks: list[Block], whole: bytes, damaged: bytes) -> list[Row]:
    """The messages of the chunks whose every byte is somewhere in the damaged file."""
    return rows_of([b for b in blocks if whole[b.begin : b.end] in damaged])


def check(blocks: list[Block], whole: bytes, damaged: bytes, what: str) -> int:
    """Nothing intact is missing, nothing else is there, nothing twice, all in order."""
    checked, unchecked = recovered(damaged)
    order = {row: number for number, row in enumerate(rows_of(blocks))}
    numbers = [order.get(row, -1) for row in checked]
    assert not unchecked, what
    assert -1 not in numbers, what
    assert numbers == sorted(set(numbers)), what
    missing = set(intact(blocks, whole, damaged)) - set(checked)
    assert not missing, f"{what}: {len(missing)} are missing"
    return len(checked)


def test_cut_at_every_byte(own: bytes) -> None:
    blocks = chunk_map(own)
    assert len(blocks) == 3 and rows_of(blocks)[0][4] == SENT[0].cdr
    for cut in range(len(own)):
        checked, unchecked = recovered(own[:cut])
        assert checked == rows_of([b for b in blocks if b.end <= cut]), cut
        assert not unchecked, cut


@pytest.mark.parametrize("compression", list(CompressionType))
def test_cut_at_every_byte_of_another_recorders_file(
    tmp_path: Path, compression: CompressionType
) -> None:
    whole = other_recorder(tmp_path / "f.mcap", SENT, compression, chunk_size=150)
    blocks = chunk_map(whole)
    assert len(blocks) > 4
    for cut in range(0, len(whole), 7):
        checked, unchecked = recovered(whole[:cut])
        assert checked == rows_of([b for b in blocks if b.end <= cut]), cut
        assert not unchecked, cut


def test_cut_at_every_byte_without_chunks(tmp_path: Path) -> None:
    whole = other_recorder(tmp_path / "f.mcap", SENT[:12], chunked=False)
    rows = [(s.topic, 0, s.log_time_ns, s.publish_time_ns, s.cdr) for s in SENT[:12]]
    ends = []
    for s in SENT[:12]:
        ends.append(whole.index(s.cdr, ends[-1] if ends else 0) + len(s.cdr))
    for cut in range(len(whole)):
        checked, unchecked = recovered(whole[:cut])
        assert not checked
        assert unchecked == [r for r, end in zip(rows, ends, strict=True) if end <= cut], cut


def test_flipped_bits(longer: bytes) -> None:
    blocks = chunk_map(longer)
    rng = np.random.default_rng(11)
    for number in range(900):
        damaged = bytearray(longer)
        places = rng.integers(len(longer), size=1 + number % 3)
        for place in places:
            damaged[place] ^= 1 << int(rng.integers(8))
        check(blocks, longer, bytes(damaged), f"flips at {places}")


def test_one_flipped_bit_in_a_header_costs_no_message(longer: bytes) -> None:
    """Opcode, lengths, times, size, name of the compression: the CRC proves the bytes anyway."""
    blocks = chunk_map(longer)
    for block in blocks[1::5]:
        for place in [
            *range(block.begin, block.crc_at),
            *range(block.crc_at + 4, block.begin + 49),
        ]:
            damaged = bytearray(longer)
            damaged[place] ^= 1 << place % 8
            checked, _ = recovered(bytes(damaged))
            assert checked == rows_of(blocks), place - block.begin


def test_a_chunk_is_found_without_its_beginning(longer: bytes) -> None:
    """What stands in front of it is gone too, so that nothing says where it begins."""
    blocks = chunk_map(longer)
    for block in blocks[1:]:
        damaged = bytearray(longer)
        damaged[block.begin - 40 : block.crc_at] = bytes(block.crc_at - block.begin + 40)
        checked, _ = recovered(bytes(damaged))
        assert checked == rows_of(blocks), block.begin


def damages(rng: np.random.Generator, whole: bytes, other: bytes) -> Iterator[tuple[str, bytes]]:
    """Blocks of zeros, of noise, of the file itself and of another file, in it and beside it."""
    for number in range(200):
        kind = ("zeros", "noise", "copied", "stale", "inserted", "doubled", "gone")[number % 7]
        size = int(rng.choice([1, 9, 37, 64, 300, 512, 1500]))
        at, source = (int(x) for x in rng.integers(len(whole), size=2))
        if number % 2:
            at, source = at // 64 * 64, source // 64 * 64
        put = {
            "zeros": bytes(size), "noise": rng.bytes(size),
            "copied": whole[source : source + size], "stale": other[at : at + size],
            "inserted": rng.bytes(size), "doubled": whole[source : source + size], "gone": b"",
        }[kind]  # fmt: skip
        behind = at if kind in ("inserted", "doubled") else at + size
        yield f"{kind} {size} at {at} from {source}", whole[:at] + put + whole[behind:]
    yield "noise in front", rng.bytes(700) + whole
    yield "noise behind", whole + rng.bytes(700)
    yield "twice", whole + whole
    yield "another behind", whole + other
    yield "the second half of another", whole[: len(whole) // 2] + other[len(whole) // 2 :]


def test_blocks_zeroed_overwritten_inserted_and_doubled(folder: Path, longer: bytes) -> None:
    # An older episode of the same recorder, as its bytes may be left on a disk.
    old = [
        s.__class__(s.topic, s.type_name, s.cdr, s.log_time_ns - 10**12, s.publish_time_ns)
        for s in tiny_traffic(seed=9, chunks=12)
    ]
    other = write_tiny(folder / "old", old)
    blocks = chunk_map(longer)
    for what, damaged in damages(np.random.default_rng(5), longer, other):
        check(blocks, longer, damaged, what)


@pytest.mark.parametrize("chunked", [True, False])
def test_what_stands_in_an_unnumbered_file_twice_counts_once(
    tmp_path: Path, chunked: bool
) -> None:
    whole = other_recorder(tmp_path / "f.mcap", MUCH, chunked=chunked, chunk_size=300)
    if chunked:
        blocks = chunk_map(whole)
        rows, start, end = rows_of(blocks), blocks[2].begin, blocks[5].begin
    else:
        rows = [(s.topic, 0, s.log_time_ns, s.publish_time_ns, s.cdr) for s in MUCH]
        start, end = (whole.index(MUCH[i].cdr) - 31 for i in (20, 40))
    # The gap of noise is what shows that the second copy was never recorded.
    damaged = whole[:end] + b"\xff" * 20 + whole[start:end] + whole[end:]
    checked, unchecked = recovered(damaged)
    assert (checked if chunked else unchecked) == rows
    assert not (unchecked if chunked else checked)


def test_a_later_episode_behind_or_inside_is_not_mixed_in(folder: Path, longer: bytes) -> None:
    late = [
        s.__class__(s.topic, s.type_name, s.cdr, s.log_time_ns + 10**12, s.publish_time_ns)
        for s in tiny_traffic(seed=10, chunks=12)
    ]
    other = write_tiny(folder / "late", late)
    blocks, others = chunk_map(longer), chunk_map(other)
    assert check(blocks, longer, longer + other, "behind") == len(MUCH)
    # Whole chunks of it in the place of the last ones: they are numbered from where they came.
    for first in (1, 4):
        stale = other[others[first].begin : others[first + 2].begin]
        damaged = longer[: blocks[8].begin] + stale
        assert check(blocks, longer, damaged, "inside") == len(rows_of(blocks[:8]))


@pytest.mark.parametrize(("compression", "crcs"), FOREIGN)
def test_other_recorders_files_with_and_without_crc(
    tmp_path: Path, compression: CompressionType, crcs: bool
) -> None:
    whole = other_recorder(tmp_path / "f.mcap", MUCH, compression, crcs=crcs, chunk_size=300)
    blocks = chunk_map(whole)
    rows = rows_of(blocks)
    rng = np.random.default_rng(3)
    for number in range(150):
        place, size = int(rng.integers(len(whole))), (1, 40)[number % 2]
        patch = bytes([whole[place] ^ 1 << int(rng.integers(8))]) if size == 1 else rng.bytes(size)
        damaged = whole[:place] + patch + whole[place + len(patch) :]
        checked, unchecked = recovered(damaged)
        must = set(intact(blocks, whole, damaged))
        assert must <= set(checked) | set(unchecked), place
        if crcs:
            assert not unchecked and set(checked) <= set(rows), place
        else:  # nothing vouches for these, and the salvage says so
            assert not checked, place
            wrong = [row for row in unchecked if row not in set(rows)]
            assert len(wrong) <= 2, place


def test_without_chunks_what_follows_bears_out_a_length(tmp_path: Path) -> None:
    whole = other_recorder(tmp_path / "f.mcap", MUCH, chunked=False)
    rows = [(s.topic, 0, s.log_time_ns, s.publish_time_ns, s.cdr) for s in MUCH]
    starts, at = [], 0
    for s in MUCH:
        at = whole.index(s.cdr, at)
        starts.append(at - 31)
        at += len(s.cdr)
    for number in range(3, len(MUCH) - 2, 5):
        for byte in (*range(2), 2, 3, 8):  # opcode and length
            damaged = bytearray(whole)
            damaged[starts[number] + byte] ^= 0x10
            _, unchecked = recovered(bytes(damaged))
            expected = rows[:number] + rows[number + 1 :]
            assert unchecked == expected, (number, byte)


ABSURD = """
import resource, sys
from pathlib import Path
from vla_rl_nodes.bags.salvage_file import examine
from vla_rl_nodes.bags.salvage_source import Source
with Source(Path(sys.argv[1])) as source:
    print(sum(1 for _ in examine(source).messages()))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def test_absurd_lengths_and_decompression_bombs_stay_in_bounds(
    tmp_path: Path, longer: bytes
) -> None:
    """Gibibytes of zeros in a few kilobytes, sizes that lie, lengths up to 2**64."""
    blocks = chunk_map(longer)
    packer = zstandard.ZstdCompressor(level=1).compressobj()
    bomb = b"".join(packer.compress(bytes(1 << 24)) for _ in range(128)) + packer.flush()

    def chunk(size: int, crc: int, name: bytes, packed: bytes, length: int | None = None) -> bytes:
        body = struct.pack("<QQQII", START_NS, START_NS, size, crc, len(name)) + name
        body += struct.pack("<Q", len(packed) if length is None else length) + packed
        return struct.pack("<BQ", 6, len(body) if length is None else length) + body

    absurd = [
        chunk(size, crc, name, packed, length)
        for size in (100, 1 << 31, 1 << 63)
        for crc in (0, 7)
        for name, packed in ((b"zstd", bomb), (b"", b"abc"), (b"lz4", b"abc"))
        for length in (None, 1 << 40, (1 << 64) - 1)
    ]
    absurd += [struct.pack("<BQ", opcode, 1 << power) for opcode in range(16) for power in
               (31, 40, 63)]  # fmt: skip
    middle = blocks[5].begin
    path = tmp_path / "absurd.mcap"
    path.write_bytes(longer[:middle] + b"".join(absurd) + longer[middle:])
    done = subprocess.run(
        [sys.executable, "-c", ABSURD, str(path)], capture_output=True, text=True, check=True,
        timeout=60, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CPU, (60, 60)),
    )  # fmt: skip
    count, peak_kib = map(int, done.stdout.split())
    assert count == len(MUCH)
    assert peak_kib < 700_000
