from __future__ import annotations

import io
import struct

import pytest
import zstandard

from vla_rl_nodes.bags.batch import LARGEST_BLOCK
from vla_rl_nodes.bags.compression import unpacked, unpacking

DATA = bytes(range(256)) * 40
FRAME = zstandard.compress(DATA)
NO_SIZE = zstandard.ZstdCompressor(write_content_size=False).compress(DATA)


@pytest.mark.parametrize("frame", [FRAME, NO_SIZE])
def test_a_frame_comes_back(frame: bytes) -> None:
    assert unpacked(frame) == unpacked(memoryview(frame), len(DATA)) == DATA


@pytest.mark.parametrize("size", [0, len(DATA) - 1, len(DATA) + 1, LARGEST_BLOCK])
@pytest.mark.parametrize("frame", [FRAME, NO_SIZE])
def test_another_size_than_expected_is_refused(frame: bytes, size: int) -> None:
    with pytest.raises((ValueError, zstandard.ZstdError)):
        unpacked(frame, size)


def test_a_claim_above_the_limit_is_refused_before_anything_is_allocated() -> None:
    for size in (LARGEST_BLOCK + 1, 1 << 40, (1 << 63) - 1):
        claim = b"\x28\xb5\x2f\xfd\xe0" + struct.pack("<Q", size) + b"\x01\x00\x00"
        with pytest.raises(ValueError, match=f"unpacks to {size} bytes"):
            unpacked(claim)


def test_frames_behind_each_other_are_one_stream() -> None:
    assert unpacking(io.BytesIO(FRAME + NO_SIZE)).read() == DATA * 2
