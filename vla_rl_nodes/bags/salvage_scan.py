"""Walks through a damaged MCAP file and finds every record that is still whole."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from mcap.opcode import Opcode
from mcap.records import (
    Attachment,
    Channel,
    ChunkIndex,
    DataEnd,
    Footer,
    Header,
    MessageIndex,
    Metadata,
    Schema,
)

from vla_rl_nodes.bags.mcap_records import HEAD
from vla_rl_nodes.bags.salvage_chunk import (
    SIGNATURE,
    SIGNATURE_AT,
    Chunk,
    chunk_at,
    cut_chunk_at,
    inner_records,
    opened,
    rescued,
)
from vla_rl_nodes.bags.salvage_source import (
    LARGEST_RECORD,
    MAGIC,
    Source,
    Summary,
    attachment_is_intact,
    read_summary,
    strict,
)

MESSAGE = struct.Struct("<HIQQ")  # channel, sequence, log time, publish time
LATEST_NS = (1 << 63) - 1
_REACH = 4096
_NEAR_NS = 3_600_000_000_000
# Where a record may begin: a known opcode and a length below 4 GiB, or a packed chunk's name.
_PLACES = re.compile(rb"(?s)(?=[\x01-\x0f].{4}\0\0\0\0|" + SIGNATURE + rb")")
_INSIDE_CHUNKS = (Opcode.MESSAGE, Opcode.SCHEMA, Opcode.CHANNEL)


class Run(NamedTuple):
    """Messages that stand one behind the other outside of chunks, in [begin, end) of the file."""

    begin: int
    end: int


class Loss(NamedTuple):
    """Bytes [start, end) of the file out of which not everything was recovered, and why."""

    start: int
    end: int
    reason: str


class Definition(NamedTuple):
    """A schema or channel; ``checked`` where a CRC vouches for it."""

    record: Any
    checked: bool


@dataclass
class Scan:
    """What was found in one file, in the order of its bytes."""

    size: int
    summary: Summary | None
    pieces: list[Chunk | Run] = field(default_factory=list)
    losses: list[Loss] = field(default_factory=list)
    schemas: dict[int, Definition] = field(default_factory=dict)
    channels: dict[int, Definition] = field(default_factory=dict)
    attachments: list[int] = field(default_factory=list)  # where their records begin
    metadata: list[Metadata] = field(default_factory=list)
    chunk_indexes: dict[int, ChunkIndex] = field(default_factory=dict)
    message_indexes: list[tuple[int, int, int]] = field(default_factory=list)  # at, channel, count
    damaged_chunks: list[Chunk] = field(default_factory=list)
    library: str = ""
    data_end: tuple[int, int] | None = None  # where the data ends, and the CRC that it should have
    closed: bool = False


def scan(source: Source) -> Scan:
    """Finds what is whole in a file; nothing of it is kept in memory but where it stands."""
    walk = _Walk(source)
    walk.run()
    return walk.found


class _Walk:
    def __init__(self, source: Source) -> None:
        self._source = source
        self.found = Scan(source.size, read_summary(source))
        self._chunked = False
        self._proved_end = 0
        self._opened: tuple[Chunk, bytes] | None = None
        # Bytes that may be unpacked in vain: a file made of false headers must come to an end.
        self._budget = 64 * source.size + (1 << 30)
        for record in self.found.summary.records if self.found.summary else ():
            self._note(record, 0, self.found.summary is not None and self.found.summary.checked)
        if self.found.chunk_indexes:
            self._chunked = True

    def run(self) -> None:
        source, found = self._source, self.found
        at = len(MAGIC) if source.read(0, len(MAGIC)) == MAGIC else 0
        resumed = at == 0
        while at < source.size:
            end = None if resumed and at == 0 else self._take(at)
            if end is None:
                reason = self._reason(at)
                begin, chunk = self._next_whole(at)
                if begin > at:
                    self._lose(at, begin, reason)
                end = begin if chunk is None else self._take_chunk(chunk)
                resumed = True
            at = end
            if found.closed and source.read(at, len(MAGIC)) == MAGIC:
                self._lose(at, source.size, "another recording was appended; salvage it by itself")
                break
        checked = [p for p in found.pieces if isinstance(p, Chunk) and p.crc]
        for piece in found.pieces if checked else ():
            if isinstance(piece, Run) or not piece.crc:
                reason = "messages without a checksum in a file whose chunks have one"
                self._lose(piece.begin, piece.end, reason)
        if checked:
            found.pieces = list(checked)
        found.losses.sort()

    def _lose(self, start: int, end: int, reason: str) -> None:
        losses = self.found.losses
        if losses and losses[-1].end == start and losses[-1].reason == reason:
            start = losses.pop().start
        losses.append(Loss(start, end, reason))

    def _reason(self, at: int) -> str:
        chunk = chunk_at(self._source, at)
        if chunk is not None:
            self.found.damaged_chunks.append(chunk)
            return "a chunk has changed" if chunk.crc else "a chunk cannot be unpacked"
        chunk = cut_chunk_at(self._source, at)
        if chunk is not None:
            self.found.damaged_chunks.append(chunk)
            return "the file ends inside a chunk"
        head = self._source.read(at, HEAD.size)
        if len(head) < HEAD.size:
            return "the file ends inside a record"
        opcode, length = HEAD.unpack(head)
        if opcode in list(Opcode) and at + HEAD.size + length > self._source.size:
            return "the file ends inside a record"
        return "no record can be made out"

    def _take(self, at: int) -> int | None:
        """Takes the record that begins there; where it ends, or None where none is whole."""
        head = self._source.read(at, HEAD.size + MESSAGE.size)
        if len(head) < HEAD.size:
            return None
        opcode, length = HEAD.unpack_from(head)
        end = int(at + HEAD.size + length)
        if opcode == Opcode.CHUNK:
            self._chunked = True
            whole = chunk_at(self._source, at)
            chunk = whole if whole is not None and self._open(whole) else self._rescue(at)
            return None if chunk is None else self._take_chunk(chunk)
        if opcode == Opcode.MESSAGE:
            if not _is_message(head, length) or end > self._source.size:
                return self._rescued_end(at)
            return self._take_message(at, end, head)
        if length > LARGEST_RECORD or end > self._source.size:
            return self._rescued_end(at)
        body = self._source.read(at + HEAD.size, length)
        record = strict(opcode, body)
        if record is None or (isinstance(record, Attachment) and not attachment_is_intact(body)):
            return self._rescued_end(at)
        self._note(record, at, False)
        if isinstance(record, Footer):
            if self._source.read(end, len(MAGIC)) != MAGIC:
                return None
            self.found.closed = True
            return end + len(MAGIC)
        return end

    def _rescued_end(self, at: int) -> int | None:
        chunk = self._rescue(at)
        return None if chunk is None else self._take_chunk(chunk)

    def _rescue(self, at: int) -> Chunk | None:
        self._budget -= min(LARGEST_RECORD, self._source.size - at)
        return rescued(self._source, at) if self._budget > 0 else None

    def _open(self, chunk: Chunk) -> bool:
        self._budget -= chunk.end - chunk.data_at
        data = opened(self._source, chunk) if self._budget > 0 else None
        self._opened = None if data is None else (chunk, data)
        return data is not None

    def _take_chunk(self, chunk: Chunk) -> int:
        self.found.pieces.append(chunk)
        self._proved_end = chunk.end
        known = self._opened
        data = known[1] if known and known[0] == chunk else opened(self._source, chunk) or b""
        for inner in inner_records(data):
            if inner.opcode in (Opcode.SCHEMA, Opcode.CHANNEL):
                record = strict(inner.opcode, data[inner.start : inner.start + inner.length])
                self._note(record, chunk.begin, chunk.crc != 0)
        return chunk.end

    def _take_message(self, at: int, end: int, head: bytes) -> int | None:
        """A message outside of chunks has no CRC: what comes next must bear out its length."""
        _, _, log_ns, _ = MESSAGE.unpack_from(head, HEAD.size)
        if not self._plausible(end):
            following, _ = self._next_whole(at)
            if following < end or not self._one_field_wrong(end, following, log_ns):
                return None
        pieces = self.found.pieces
        last = pieces[-1] if pieces else None
        if isinstance(last, Run) and last.end == at:
            pieces[-1] = Run(last.begin, end)
        else:
            pieces.append(Run(at, end))
        return end

    def _one_field_wrong(self, at: int, following: int, near_ns: int) -> bool:
        """Whether what stands there is a message but for its opcode or its length."""
        head = self._source.read(at, HEAD.size + MESSAGE.size)
        if len(head) < HEAD.size:
            return following == self._source.size
        opcode, length = HEAD.unpack_from(head)
        head = head.ljust(HEAD.size + MESSAGE.size, b"\0")
        channel, _, log_ns, _ = MESSAGE.unpack_from(head, HEAD.size)
        end = at + HEAD.size + length
        if end == following or (opcode in list(Opcode) and end > following == self._source.size):
            return True
        known = channel in self.found.channels and abs(log_ns - near_ns) < _NEAR_NS
        return opcode == Opcode.MESSAGE and known

    def _plausible(self, at: int) -> bool:
        """Whether a record begins there, or the file ends."""
        source = self._source
        if at == source.size:
            return True
        head = source.read(at, HEAD.size + MESSAGE.size)
        if len(head) < HEAD.size:
            return False
        opcode, length = HEAD.unpack_from(head)
        if length > LARGEST_RECORD or at + HEAD.size + length > source.size:
            return False
        if opcode == Opcode.MESSAGE:
            return _is_message(head, length)
        if opcode == Opcode.CHUNK:
            return chunk_at(source, at) is not None
        return strict(opcode, source.read(at + HEAD.size, length)) is not None

    def _claimed_end(self, at: int) -> int | None:
        """Where a damaged record ends by its own word, if something whole follows there."""
        head = self._source.read(at, HEAD.size)
        if len(head) < HEAD.size:
            return None
        end = int(at + HEAD.size + HEAD.unpack(head)[1])
        return end if end <= self._source.size and self._plausible(end) else None

    def _next_whole(self, at: int) -> tuple[int, Chunk | None]:
        """The first place behind damage where something whole begins, or the file's end.

        A chunk that its CRC proves may begin a little in front of ``at``: a record without a CRC
        that stands before it, and has lost some bytes, seems to reach into it.
        """
        source, claimed = self._source, self._claimed_end(at)
        earliest = max(self._proved_end, at - _REACH)
        for place in source.matches(_PLACES, earliest, source.size):
            if claimed is not None and place >= claimed:
                return claimed, None
            head = source.read(place, HEAD.size + MESSAGE.size)
            if re.match(SIGNATURE, head):
                begin = place - SIGNATURE_AT
                chunk = self._rescue(begin) if earliest <= begin != at else None
                if chunk is not None:
                    return begin, chunk
            elif len(head) >= HEAD.size and place != at:
                if place > at and self._begins(place, head, claimed):
                    return place, None
                chunk = chunk_at(source, place) if place < at else None
                if chunk is not None and chunk.crc and self._open(chunk):
                    return place, chunk
        return (source.size if claimed is None else claimed), None

    def _begins(self, at: int, head: bytes, claimed: int | None) -> bool:
        """Whether a whole record begins there. Inside a damaged record only a CRC proves that."""
        opcode, length = HEAD.unpack_from(head)
        end = at + HEAD.size + length
        if end > self._source.size or length > LARGEST_RECORD:
            return False
        if opcode == Opcode.CHUNK:
            chunk = chunk_at(self._source, at)
            if chunk is None or (chunk.crc == 0 and (claimed or not self._plausible(end))):
                return False
            return self._open(chunk)
        if claimed is not None or (opcode in _INSIDE_CHUNKS and self._chunked):
            return False
        if opcode == Opcode.MESSAGE:
            if not _is_message(head, length):
                return False
            channels = self.found.channels
            known = not channels or MESSAGE.unpack_from(head, HEAD.size)[0] in channels
            return known and self._plausible(end)
        record = strict(opcode, self._source.read(at + HEAD.size, length))
        if isinstance(record, Footer):
            return self._source.read(end, len(MAGIC)) == MAGIC
        return record is not None and self._plausible(end)

    def _note(self, record: Any, at: int, checked: bool) -> None:
        found = self.found
        if isinstance(record, Schema):
            self._define(found.schemas, record, checked)
        elif isinstance(record, Channel):
            self._define(found.channels, record, checked)
        elif isinstance(record, Attachment):
            found.attachments.append(at)
        elif isinstance(record, Metadata):
            found.metadata.append(record)
        elif isinstance(record, ChunkIndex):
            if record.chunk_start_offset < found.size:
                found.chunk_indexes.setdefault(record.chunk_start_offset, record)
        elif isinstance(record, MessageIndex):
            found.message_indexes.append((at, record.channel_id, len(record.records)))
        elif isinstance(record, Header):
            found.library = found.library or record.library
        elif isinstance(record, DataEnd):
            found.data_end = (at, record.data_section_crc)

    def _define(self, table: dict[int, Definition], record: Any, checked: bool) -> None:
        """A CRC's word counts more than another; of two that count the same, the first."""
        known = table.get(record.id)
        if known is None or (checked and not known.checked):
            table[record.id] = Definition(record, checked)


def _is_message(head: bytes, length: int) -> bool:
    if len(head) < HEAD.size + MESSAGE.size or not MESSAGE.size <= length <= LARGEST_RECORD:
        return False
    _, _, log_ns, publish_ns = MESSAGE.unpack_from(head, HEAD.size)
    return bool(max(log_ns, publish_ns) <= LATEST_NS)
