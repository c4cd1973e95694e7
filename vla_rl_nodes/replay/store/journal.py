"""The list of what is committed: a file that only grows, in records that prove themselves.

A record is a head of 24 bytes, little-endian: ``VLAJ``, the payload's length (uint32), the
record's number (uint64), CRC-32 of the payload and CRC-32 of the head's first 20 bytes (uint32
each); then the payload. Record 0 is the schema, every other one an episode.

A killed writer leaves part of a record at the end: that is cut off, for it was never committed.
A broken record with a whole one behind it was committed once, so it is damage and is refused.
"""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

from vla_rl_nodes.errors import InputError

_MAGIC = b"VLAJ"
_HEAD = struct.Struct("<4sIQI")
_CRC = struct.Struct("<I")
HEAD_BYTES = _HEAD.size + _CRC.size
_LARGEST = 1 << 26
REMEDY = "make the store again from its replay folders"


def encode(number: int, payload: bytes) -> bytes:
    """One record."""
    head = _HEAD.pack(_MAGIC, len(payload), number, zlib.crc32(payload))
    return head + _CRC.pack(zlib.crc32(head)) + payload


def read_records(path: Path, offset: int, number: int) -> tuple[list[bytes], int]:
    """The payloads of the whole records from an offset on, and the offset behind the last.

    Args:
        path: the journal.
        offset: where record ``number`` begins; what is before was read earlier.
        number: of the first record to read.

    Raises:
        InputError: the file cannot be read, is shorter than it was, or a record within it is
            damaged.
    """
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            file.seek(offset)
            data = file.read()
    except OSError as error:
        reason = (error.strerror or "unreadable").lower()
        raise InputError(path, f"cannot be read ({reason})", "check the folder") from error
    if size < offset:
        raise InputError(path, f"has {size} bytes, {offset} of it were read before", REMEDY)
    payloads: list[bytes] = []
    at = 0
    while (payload := _record(data, at, number + len(payloads))) is not None:
        payloads.append(payload)
        at += HEAD_BYTES + len(payload)
    later = _next_whole(data, at, number + len(payloads))
    if later is not None:
        raise InputError(path, f"is damaged from byte {offset + at} to {offset + later}", REMEDY)
    return payloads, offset + at


def _record(data: bytes, at: int, number: int) -> bytes | None:
    """The payload of the record that begins there; None where no whole one of that number does."""
    found = _any_record(data, at)
    return found[1] if found is not None and found[0] == number else None


def _any_record(data: bytes, at: int) -> tuple[int, bytes] | None:
    begin = at + HEAD_BYTES
    if begin > len(data):
        return None
    magic, length, number, crc = _HEAD.unpack_from(data, at)
    head = data[at : at + _HEAD.size]
    if magic != _MAGIC or _CRC.unpack_from(data, at + _HEAD.size) != (zlib.crc32(head),):
        return None
    if length > _LARGEST or begin + length > len(data):
        return None
    payload = data[begin : begin + length]
    return (number, payload) if zlib.crc32(payload) == crc else None


def _next_whole(data: bytes, at: int, number: int) -> int | None:
    """Where the next whole record begins whose number is this one's or a later one's."""
    while (at := data.find(_MAGIC, at)) >= 0:
        found = _any_record(data, at)
        if found is not None and found[0] >= number:
            return at
        at += 1
    return None
