from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.replay.store.journal import HEAD_BYTES, encode, read_records

PAYLOADS = [b"schema", b"", b"VLAJ" * 3, b"the last"]


def write(path: Path, payloads: list[bytes]) -> list[int]:
    """Writes a journal; where each record ends."""
    path.write_bytes(b"".join(encode(i, p) for i, p in enumerate(payloads)))
    return list(np.cumsum([HEAD_BYTES + len(p) for p in payloads]))


@given(payloads=st.lists(st.binary(max_size=60), max_size=6), cut=st.integers(0, 400))
@settings(max_examples=100, deadline=None)
def test_a_cut_journal_holds_its_whole_records(
    payloads: list[bytes], cut: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("journal") / "j"
    ends = write(path, payloads)
    whole = path.read_bytes()
    path.write_bytes(whole[:cut])
    count = sum(end <= cut for end in ends)
    found, end = read_records(path, 0, 0)
    assert found == payloads[:count] and end == ([0, *ends][count])
    path.write_bytes(whole)  # and what comes later is read from there on
    assert read_records(path, end, count) == (payloads[count:], len(whole))


def test_a_flipped_bit_of_every_byte_is_found(tmp_path: Path) -> None:
    path = tmp_path / "j"
    ends = write(path, PAYLOADS)
    whole = path.read_bytes()
    for position in range(len(whole)):
        for bit in (position % 8, (position + 5) % 8):
            broken = bytearray(whole)
            broken[position] ^= 1 << bit
            path.write_bytes(broken)
            hit = sum(end <= position for end in ends)
            if hit < len(PAYLOADS) - 1:
                begin = [0, *ends][hit]
                with pytest.raises(
                    InputError, match=f"is damaged from byte {begin} to {ends[hit]}"
                ):
                    read_records(path, 0, 0)
            else:  # as if its writer had been killed
                assert read_records(path, 0, 0) == (PAYLOADS[:-1], ends[-2])


def test_a_record_that_is_missing_or_comes_twice_is_damage(tmp_path: Path) -> None:
    records = [encode(i, p) for i, p in enumerate(PAYLOADS)]
    path = tmp_path / "j"
    path.write_bytes(records[0] + records[2])
    with pytest.raises(InputError, match="is damaged from byte"):
        read_records(path, 0, 0)
    path.write_bytes(records[0] + records[0])  # an old one: left behind, never committed here
    assert read_records(path, 0, 0)[0] == PAYLOADS[:1]


def test_a_journal_that_shrank_or_is_gone(tmp_path: Path) -> None:
    path = tmp_path / "j"
    ends = write(path, PAYLOADS)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(InputError, match="were read before"):
        read_records(path, ends[-1], 4)
    path.unlink()
    with pytest.raises(InputError, match="no such file"):
        read_records(path, 0, 0)
