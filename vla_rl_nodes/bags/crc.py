"""zlib's CRC-32, and that of two joined pieces from those of the pieces.

ISA-L's sums several times as fast as zlib's, with the processor's own instructions for it.
"""

from __future__ import annotations

from functools import cache

from isal.isal_zlib import crc32

__all__ = ["crc32", "crc32_joined"]

_POLYNOMIAL = 0xEDB88320  # of zlib's CRC-32, bits reversed
_Tables = tuple[list[int], list[int], list[int], list[int]]


def crc32_joined(first: int, second: int, second_length: int) -> int:
    """``zlib.crc32(a + b)`` from ``zlib.crc32(a)``, ``zlib.crc32(b)`` and ``len(b)``.

    A CRC is linear: what stood before is multiplied by x to the power of the bits that follow,
    one table for each bit of the length, and the second CRC is added.
    """
    power = 0
    while second_length:
        if second_length & 1:
            first = _apply(_zero_bytes(power), first)
        second_length >>= 1
        power += 1
    return first ^ second


def _apply(tables: _Tables, crc: int) -> int:
    a, b, c, d = tables
    return a[crc & 255] ^ b[crc >> 8 & 255] ^ c[crc >> 16 & 255] ^ d[crc >> 24]


@cache
def _zero_bytes(power: int) -> _Tables:
    """What 2**power zero bytes make of each byte of a CRC."""
    if power:
        half = _zero_bytes(power - 1)
        a, b, c, d = ([_apply(half, value) for value in table] for table in half)
        return a, b, c, d
    single = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (_POLYNOMIAL if value & 1 else 0)
        single.append(value)
    b, c, d = ([value << shift for value in range(256)] for shift in (0, 8, 16))
    return single, b, c, d
