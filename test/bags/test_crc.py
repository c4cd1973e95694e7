from __future__ import annotations

import zlib

from hypothesis import given
from hypothesis import strategies as st

from vla_rl_nodes.bags.crc import crc32_joined


@given(first=st.binary(max_size=300), second=st.binary(max_size=300))
def test_joined_crc_is_that_of_the_joined_bytes(first: bytes, second: bytes) -> None:
    joined = crc32_joined(zlib.crc32(first), zlib.crc32(second), len(second))
    assert joined == zlib.crc32(first + second)


def test_long_pieces() -> None:
    for size in (65_535, 65_536, 1_048_577):
        first, second = b"x" * 77, bytes(size - 1) + b"\x01"
        joined = crc32_joined(zlib.crc32(first), zlib.crc32(second), size)
        assert joined == zlib.crc32(first + second)
