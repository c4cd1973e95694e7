"""TFRecord files of tf.train.Example messages, written without TensorFlow.

A record is its length (uint64), the masked CRC-32C of the length, the message, and the masked
CRC-32C of the message. An Example is a map from names to lists of bytes, floats or whole numbers,
in Protocol Buffers' encoding; names are written in order, so the same values give the same bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO

import google_crc32c
import numpy as np
from numpy.typing import NDArray

Value = Sequence[bytes] | NDArray[Any]


def write_record(file: BinaryIO, message: bytes) -> int:
    """Appends one record and returns its length in bytes."""
    length = struct.pack("<Q", len(message))
    file.write(length + _masked(length))
    file.write(message)
    file.write(_masked(message))
    return len(message) + 16


def _masked(data: bytes) -> bytes:
    crc = int(google_crc32c.value(data))
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def example(features: Mapping[str, Value]) -> bytes:
    """A tf.train.Example.

    Args:
        features: by name, byte strings, or an array that is flattened: floats become float32,
            whole numbers and flags int64.
    """
    entries = []
    for name, value in sorted(features.items()):
        entry = _field(1, name.encode()) + _field(2, _feature(value))
        entries.append(_field(1, entry))
    return _field(1, b"".join(entries))


def _feature(value: Value) -> bytes:
    if not isinstance(value, np.ndarray):
        return _field(1, b"".join(_field(1, item) for item in value))
    if value.dtype.kind == "f":
        packed = np.ascontiguousarray(value, dtype="<f4").tobytes()
        return _field(2, _field(1, packed))
    return _field(3, _field(1, b"".join(_varint(item) for item in value.reshape(-1).tolist())))


def _field(number: int, data: bytes) -> bytes:
    """A field of bytes: its number with wire type 2, the length, the bytes."""
    return bytes((number << 3 | 2,)) + _varint(len(data)) + data


def _varint(value: int) -> bytes:
    """Seven bits a byte, the lowest first; a negative number as its two's complement of 64."""
    value &= 0xFFFFFFFFFFFFFFFF
    if value < 128:
        return bytes((value,))
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)
