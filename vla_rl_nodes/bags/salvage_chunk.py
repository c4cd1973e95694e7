"""One chunk of a damaged file: found by whatever of its header is left, judged by its CRC."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from typing import NamedTuple

import lz4.frame  # type: ignore[import-untyped]
import zstandard
from mcap.opcode import Opcode

from vla_rl_nodes.bags.crc import crc32
from vla_rl_nodes.bags.mcap_records import HEAD
from vla_rl_nodes.bags.salvage_source import LARGEST_RECORD, Source

_FIELDS = struct.Struct("<QQQII")  # first time, last time, unpacked size, its CRC, a name's length
_LENGTH = struct.Struct("<Q")
_LONGEST_NAME = 16
_NAMES = (b"zstd", b"lz4", b"")
_BLOCK = 1 << 20
_UNPACKER = zstandard.ZstdDecompressor(max_window_size=1 << 27)
# What stands in front of a packed chunk's bytes, and where: it is found without opcode and length.
SIGNATURE = rb"\x04\0\0\0zstd|\x03\0\0\0lz4"
SIGNATURE_AT = HEAD.size + _FIELDS.size - 4
_HEAD_BYTES = HEAD.size + _FIELDS.size + _LONGEST_NAME + _LENGTH.size


class Chunk(NamedTuple):
    """Where a chunk stands: the record is [begin, end), its packed records [data_at, end).

    ``crc`` 0 means that the writer gave none. Times and the unpacked size are what the header
    says, which no CRC covers.
    """

    begin: int
    data_at: int
    end: int
    compression: bytes
    crc: int
    start_ns: int
    end_ns: int
    size: int


class Inner(NamedTuple):
    """One record inside a chunk: its body is [start, start + length) of the unpacked bytes."""

    opcode: int
    start: int
    length: int


def chunk_at(source: Source, begin: int) -> Chunk | None:
    """The chunk whose record begins there, every length of it fitting; nothing is unpacked."""
    head = source.read(begin, _HEAD_BYTES)
    if len(head) < HEAD.size + _FIELDS.size + _LENGTH.size:
        return None
    opcode, length = HEAD.unpack_from(head)
    found = _fields(head, begin)
    whole = found is not None and found.end == begin + HEAD.size + length <= source.size
    return found if whole and opcode == Opcode.CHUNK else None


def cut_chunk_at(source: Source, begin: int) -> Chunk | None:
    """What is left of a chunk whose record begins there and whose end the file does not hold."""
    head = source.read(begin, _HEAD_BYTES)
    if len(head) < HEAD.size + _FIELDS.size + _LENGTH.size:
        return None
    opcode, length = HEAD.unpack_from(head)
    found = _fields(head, begin)
    if found is None or opcode != Opcode.CHUNK or found.end != begin + HEAD.size + length:
        return None
    return found._replace(end=source.size) if found.end > source.size else None


def rescued(source: Source, begin: int) -> Chunk | None:
    """A chunk whose header is damaged, but whose bytes have the CRC that it carries.

    The opcode, one of the two lengths, the name of the compression or a time may be wrong: the
    rest says where the bytes are, and the CRC says whether that is right.
    """
    head = source.read(begin, _HEAD_BYTES)
    if len(head) < HEAD.size + _FIELDS.size + _LENGTH.size:
        return None
    _, length = HEAD.unpack_from(head)
    first, last, size, crc, _ = _FIELDS.unpack_from(head, HEAD.size)
    outer = begin + HEAD.size + length
    tries = [_fields(head, begin)]
    for name in _NAMES:
        at = begin + HEAD.size + _FIELDS.size + len(name) + _LENGTH.size
        tries.append(Chunk(begin, at, outer, name, crc, first, last, size))
    for chunk in tries:
        if chunk is None or crc == 0 or not chunk.data_at <= chunk.end <= source.size:
            continue
        if opened(source, chunk) is not None:
            return chunk
    return None


def _fields(head: bytes, begin: int) -> Chunk | None:
    first, last, size, crc, name_length = _FIELDS.unpack_from(head, HEAD.size)
    at = HEAD.size + _FIELDS.size
    if name_length > _LONGEST_NAME or at + name_length + _LENGTH.size > len(head):
        return None
    name = head[at : at + name_length]
    at += name_length
    (packed,) = _LENGTH.unpack_from(head, at)
    at += begin + _LENGTH.size
    return Chunk(begin, at, at + packed, name, crc, first, last, size)


def opened(source: Source, chunk: Chunk) -> bytes | None:
    """A chunk's records; None where its CRC, or without a CRC its size, says that they changed."""
    if chunk.end - chunk.data_at > LARGEST_RECORD or chunk.end > source.size:
        return None
    packed = source.read(chunk.data_at, chunk.end - chunk.data_at)
    data = _unpacked(chunk.compression, packed)
    if data is None:
        return None
    if chunk.crc == 0:
        return data if len(data) == chunk.size else None
    return data if crc32(data) == chunk.crc else None


def _unpacked(compression: bytes, packed: bytes) -> bytes | None:
    """Unpacks block by block, since what a damaged frame says of its size means nothing."""
    if compression == b"":
        return packed
    if compression == b"zstd":
        stream = _UNPACKER.stream_reader(io.BytesIO(packed))
        data = bytearray()
        try:
            while len(data) <= LARGEST_RECORD:
                block = stream.read(_BLOCK)
                if not block:
                    return bytes(data)
                data += block
        except zstandard.ZstdError:
            return None
        return None
    if compression == b"lz4":
        frame = lz4.frame.LZ4FrameDecompressor()
        try:
            found: bytes = frame.decompress(packed, max_length=LARGEST_RECORD + 1)
        except RuntimeError:
            return None
        return found if frame.eof and not frame.unused_data else None
    return None


def inner_records(data: bytes) -> Iterator[Inner]:
    """The records of a chunk in order, up to one that does not fit into it."""
    at = 0
    while at + HEAD.size <= len(data):
        opcode, length = HEAD.unpack_from(data, at)
        start = at + HEAD.size
        if length > len(data) - start:
            return
        yield Inner(opcode, start, length)
        at = start + length
