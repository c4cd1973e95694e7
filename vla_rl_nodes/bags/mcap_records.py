"""The records inside MCAP: a chunk unpacked, and the messages in a block of bytes."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import lz4.frame  # type: ignore[import-untyped]
import numpy as np
from mcap.data_stream import ReadDataStream
from mcap.opcode import Opcode
from mcap.records import Channel as ChannelRecord
from mcap.records import Schema
from numpy.typing import NDArray

from vla_rl_nodes.bags.batch import LARGEST_BLOCK, LATEST_NS, Batch, Channel
from vla_rl_nodes.bags.compression import unpacked
from vla_rl_nodes.bags.crc import crc32
from vla_rl_nodes.errors import InputError

Parsed = TypeVar("Parsed")
HEAD = struct.Struct("<BQ")  # of every record: opcode, length of what follows
MESSAGE_HEAD = np.dtype(
    [("channel", "<u2"), ("sequence", "<u4"), ("log", "<u8"), ("publish", "<u8")]
)
_MESSAGE = struct.Struct("<HIQQ")  # the same
_LENGTH = struct.Struct("<Q")
_CHUNK = struct.Struct("<QQQII")  # first time, last time, unpacked size, its CRC, length of a name


class BrokenRecordError(ValueError):
    """Bytes that are no record of the kind that they claim to be."""


class ChecksumError(BrokenRecordError):
    """A record whose CRC is not that of its bytes."""


class _Body(io.BytesIO):
    """A record's bytes; the library would take a short read for a whole value."""

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        if size is not None and len(data) < size:
            raise BrokenRecordError("a value is longer than its record")
        return data


def parsed(read: Callable[[ReadDataStream], Parsed], body: bytes) -> Parsed:
    """A record of the library's from its bytes.

    Raises:
        BrokenRecordError: a value reaches beyond the record.
        ValueError: text that is not UTF-8.
    """
    return read(ReadDataStream(_Body(body)))


class Chunk(NamedTuple):
    """A chunk's records; ``crc`` is that of the packed bytes where it is known already."""

    records: bytes | memoryview
    packed_at: int
    crc: int | None


def open_chunk(body: memoryview, place: object) -> Chunk:
    """Unpacks a chunk and checks its CRC where it has one.

    Raises:
        InputError: an unknown compression.
        ChecksumError: the CRC is wrong.
        BrokenRecordError: lengths that do not fit.
    """
    _, _, size, crc, name_length = _CHUNK.unpack_from(body)
    at = _CHUNK.size + name_length
    name = str(body[_CHUNK.size : at], "utf-8")
    (packed_size,) = _LENGTH.unpack_from(body, at)
    at += _LENGTH.size
    data: bytes | memoryview = body[at:]
    if len(data) != packed_size or size > LARGEST_BLOCK:
        raise BrokenRecordError("a chunk's length is wrong")
    if name == "zstd":
        data = unpacked(data, size)
    elif name == "lz4":
        data = lz4.frame.decompress(data)
    elif name:
        raise InputError(place, f"has '{name[:20]}' chunks", "compress them with zstd or lz4")
    if len(data) != size:
        raise BrokenRecordError("a chunk's size is wrong")
    if crc == 0:
        return Chunk(data, at, None)
    found = crc32(data)
    if found != crc:
        raise ChecksumError("a chunk's CRC is wrong")
    return Chunk(data, at, None if name else found)


class Channels:
    """The schemas and channels that a file has declared so far."""

    def __init__(self) -> None:
        self.table: dict[int, Channel] = {}
        self._schemas: dict[int, str] = {}

    def add(self, opcode: int, body: bytes) -> bool:
        """Takes a schema or channel record; False for any other.

        Raises:
            BrokenRecordError: one that says something else than it did before.
        """
        if opcode == Opcode.SCHEMA:
            schema = parsed(Schema.read, body)
            if self._schemas.setdefault(schema.id, schema.name) != schema.name:
                raise BrokenRecordError("a schema changes")
        elif opcode == Opcode.CHANNEL:
            record = parsed(ChannelRecord.read, body)
            type_name = self._schemas.get(record.schema_id, "")
            channel = Channel(record.topic, type_name, record.message_encoding)
            if self.table.setdefault(record.id, channel) != channel:
                raise BrokenRecordError("a channel changes")
        else:
            return False
        return True

    def check(self, body: bytes) -> None:
        """Whether a message record, without opcode and length, is one.

        Raises:
            BrokenRecordError: it is too short, on no channel, or of an absurd time.
        """
        if len(body) < MESSAGE_HEAD.itemsize:
            raise BrokenRecordError("a message is too short")
        number, _, log_ns, publish_ns = _MESSAGE.unpack_from(body)
        if number not in self.table:
            raise BrokenRecordError("a message is on no channel")
        if max(log_ns, publish_ns) > LATEST_NS:
            raise BrokenRecordError("a message has an impossible time")

    def messages_of_chunk(self, records: bytes | memoryview, progress: float) -> Batch:
        """The messages of a chunk; its schemas and channels are added.

        Raises:
            BrokenRecordError: the records do not fill the chunk exactly, or one is no message.
        """
        borders = [0]
        at, end = 0, len(records)
        append, length_at = borders.append, _LENGTH.unpack_from
        while at < end - 8:
            at += 9 + length_at(records, at + 1)[0]
            append(at)
        if at != end:
            raise BrokenRecordError("the records do not fill their chunk")
        edges = np.array(borders, dtype=np.int64)
        begin = edges[:-1]
        lengths = edges[1:] - begin - HEAD.size
        opcodes = np.frombuffer(records, dtype=np.uint8)[begin]
        chosen = opcodes == Opcode.MESSAGE
        if not chosen.all():
            for index in np.flatnonzero(~chosen):
                first = int(begin[index]) + HEAD.size
                self.add(int(opcodes[index]), bytes(records[first : first + int(lengths[index])]))
            begin, lengths = begin[chosen], lengths[chosen]
        return self.batch(records, begin + HEAD.size, lengths, progress)

    def batch(
        self,
        data: bytes | memoryview,
        starts: NDArray[np.int64],
        lengths: NDArray[np.int64],
        progress: float,
    ) -> Batch:
        """The messages whose records, without opcode and length, stand in a block.

        Raises:
            BrokenRecordError: a record that is too short, on no channel, or of an absurd time.
        """
        if (lengths < MESSAGE_HEAD.itemsize).any():
            raise BrokenRecordError("a message is too short")
        heads = at_offsets(data, starts, MESSAGE_HEAD.itemsize).view(MESSAGE_HEAD)
        channels = heads["channel"].astype(np.int64)
        if any(number not in self.table for number in set(channels.tolist())):
            raise BrokenRecordError("a message is on no channel")
        if len(heads) and max(heads["log"].max(), heads["publish"].max()) > LATEST_NS:
            raise BrokenRecordError("a message has an impossible time")
        return Batch(
            data,
            starts + MESSAGE_HEAD.itemsize,
            lengths - MESSAGE_HEAD.itemsize,
            channels,
            heads["log"].astype(np.int64),
            heads["publish"].astype(np.int64),
            heads["sequence"].astype(np.int64),
            self.table,
            progress,
        )


def at_offsets(data: bytes | memoryview, starts: NDArray[np.int64], size: int) -> NDArray[Any]:
    """Copies of the ``size`` bytes at each offset, as void [n]; all of them must lie inside."""
    if not len(starts):
        return np.empty(0, dtype=f"V{size}")
    whole: NDArray[Any] = np.ndarray(
        (len(data) - size + 1,), dtype=f"V{size}", buffer=data, strides=(1,)
    )
    return whole[starts]
