"""The messages of a damaged file that may be kept, each with what vouches for it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import NamedTuple

from mcap.opcode import Opcode
from mcap.records import Channel, MessageIndex, Schema

from vla_rl_nodes.bags.mcap_records import HEAD
from vla_rl_nodes.bags.salvage_chunk import Chunk, Inner, inner_records, opened
from vla_rl_nodes.bags.salvage_scan import LATEST_NS, MESSAGE, Definition, Loss, Run, Scan
from vla_rl_nodes.bags.salvage_source import Source, strict
from vla_rl_nodes.bags.start_copy import StartCopy
from vla_rl_nodes.errors import InputError

_BACKWARDS_NS = 60_000_000_000  # clocks are set, but not by this much within a recording
_UNUSABLE = "a message of no known channel, of another type than its topic, or of no time"


class Salvaged(NamedTuple):
    """One message; ``checked`` where a CRC vouches for its bytes and for its topic."""

    channel: Channel
    schema: Schema | None
    sequence: int
    log_time_ns: int
    publish_time_ns: int
    data: bytes
    checked: bool


class Messages:
    """Goes once through what a scan found, in the order of the file's bytes.

    A block that stands in the file twice counts once. A chunk of another recording, which a disk
    can leave inside of a file or behind it, is refused: its channels contradict those of the file,
    its messages' numbers or times do not go on where those before it ended.

    Args:
        source: the file that was scanned.
        found: by the scan.
        schemas: by id.
        channels: by id.
        copy: the bag's copy of its beginning; None in the recording of another program.
        numbered: whether the messages of each topic are numbered 0, 1, 2, ...
        sure: whether the checksum over all of the file's data is right.
    """

    def __init__(
        self,
        source: Source,
        found: Scan,
        schemas: dict[int, Definition],
        channels: dict[int, Definition],
        copy: StartCopy | None,
        numbered: bool,
        sure: bool,
    ) -> None:
        self._source, self._found, self._copy, self._numbered = source, found, copy, numbered
        self._schemas, self._channels, self._sure = schemas, channels, sure
        self._seen: set[bytes] = set()
        self._types: dict[str, tuple[str, str]] = {}
        self._last_sequence: dict[int, int] = {}
        self._last_ns: int | None = None
        self.losses: list[Loss] = []
        self.kept_chunks: set[int] = set()

    def __iter__(self) -> Iterator[Salvaged]:
        for piece in self._found.pieces:
            if isinstance(piece, Chunk):
                yield from self._chunk(piece)
            else:
                yield from self._run(piece)

    def _chunk(self, chunk: Chunk) -> Iterator[Salvaged]:
        data = opened(self._source, chunk)
        if data is None:
            raise InputError(self._source.path, "changed while it was read", "salvage a copy")
        inner = list(inner_records(data))
        reached = inner[-1].start + inner[-1].length if inner else 0
        indexed = self._indexed(chunk) if chunk.crc == 0 else {}
        if reached < len(data):
            inner += self._behind_a_break(data, reached, indexed)
            self._lose(chunk, "a record inside of a chunk is damaged")
        reason = self._foreign(chunk, data, inner)
        if reason is not None:
            self._lose(chunk, reason)
            return
        self.kept_chunks.add(chunk.begin)
        for record in inner:
            if record.opcode != Opcode.MESSAGE or record.length < MESSAGE.size:
                continue
            number, _, log_ns, _ = MESSAGE.unpack_from(data, record.start)
            expected = indexed.get(record.start - HEAD.size, (number, log_ns))
            in_span = chunk.start_ns <= log_ns <= chunk.end_ns
            if expected != (number, log_ns) and not in_span:
                self._lose(chunk, "a message is not what the index of its chunk says")
                continue
            message = self._message(data, record, chunk.crc != 0)
            if message is None:
                self._lose(chunk, _UNUSABLE)
                continue
            yield message

    def _run(self, run: Run) -> Iterator[Salvaged]:
        at = run.begin
        damaged_before = bool(self._found.losses) and self._found.losses[0].start < run.begin
        while at < run.end:
            head = self._source.read(at, HEAD.size)
            length = HEAD.unpack(head)[1]
            body = self._source.read(at + HEAD.size, length)
            end = at + HEAD.size + length
            message = self._message(body, Inner(Opcode.MESSAGE, 0, length), False)
            digest = hashlib.blake2b(body, digest_size=16).digest()
            if message is None:
                self.losses.append(Loss(at, end, _UNUSABLE))
            elif damaged_before and digest in self._seen:
                self.losses.append(Loss(at, end, "stands in the file twice"))
            else:
                self._seen.add(digest)
                yield message
            at = end

    def _message(self, data: bytes, record: Inner, checked: bool) -> Salvaged | None:
        number, sequence, log_ns, publish_ns = MESSAGE.unpack_from(data, record.start)
        channel = self._channels.get(number)
        if channel is None or max(log_ns, publish_ns) > LATEST_NS:
            return None
        schema = self._schemas.get(channel.record.schema_id)
        kind = ("" if schema is None else schema.record.name, channel.record.message_encoding)
        if self._types.setdefault(channel.record.topic, kind) != kind:
            return None
        vouched = checked and channel.checked and (schema is None or schema.checked)
        vouched |= self._sure
        body = data[record.start + MESSAGE.size : record.start + record.length]
        return Salvaged(
            channel.record, None if schema is None else schema.record,
            sequence, log_ns, publish_ns, body, vouched,
        )  # fmt: skip

    def _lose(self, chunk: Chunk, reason: str) -> None:
        loss = Loss(chunk.begin, chunk.end, reason)
        if not self.losses or self.losses[-1] != loss:
            self.losses.append(loss)

    def _foreign(self, chunk: Chunk, data: bytes, inner: list[Inner]) -> str | None:
        """Why a chunk is not to be kept although it is whole; None where it is."""
        digest = hashlib.blake2b(data, digest_size=16).digest()
        if digest in self._seen:
            return "stands in the file twice"
        first: dict[int, int] = {}
        last: dict[int, int] = {}
        times = []
        for record in inner:
            if record.opcode in (Opcode.SCHEMA, Opcode.CHANNEL):
                table = self._schemas if record.opcode == Opcode.SCHEMA else self._channels
                body = strict(record.opcode, data[record.start : record.start + record.length])
                known = None if body is None else table.get(body.id)
                if body and known and not _agree(known.record, body):
                    return "a chunk of another recording: its topics contradict this one's"
            elif record.opcode == Opcode.MESSAGE and record.length >= MESSAGE.size:
                number, sequence, log_ns, _ = MESSAGE.unpack_from(data, record.start)
                first.setdefault(number, sequence)
                last[number] = sequence
                times.append(log_ns)
        if self._numbered and any(
            sequence <= self._last_sequence.get(number, -1) for number, sequence in first.items()
        ):
            return "a chunk of another recording: its messages are numbered again"
        if chunk.crc and times and self._backwards(chunk, min(times)):
            return "a chunk of another recording: it is older than what stands in front of it"
        self._seen.add(digest)
        self._last_sequence.update(last)
        if chunk.crc:  # without one a damaged time could speak against all that follows
            self._last_ns = max(times, default=self._last_ns)
        return None

    def _backwards(self, chunk: Chunk, earliest_ns: int) -> bool:
        if self._copy is not None and earliest_ns < self._copy.start_ns - _BACKWARDS_NS:
            return True
        losses = self._found.losses
        damaged_before = bool(losses) and losses[0].start < chunk.begin
        before = self._last_ns
        return damaged_before and before is not None and earliest_ns < before - _BACKWARDS_NS

    def _indexed(self, chunk: Chunk) -> dict[int, tuple[int, int]]:
        """Channel and log time of a chunk's messages by their places in it."""
        entries: dict[int, tuple[int, int]] = {}
        at = chunk.end
        while True:
            head = self._source.read(at, HEAD.size)
            opcode, length = HEAD.unpack(head) if len(head) == HEAD.size else (0, 0)
            if opcode != Opcode.MESSAGE_INDEX or length > self._source.size:
                return entries
            index = strict(opcode, self._source.read(at + HEAD.size, length))
            if not isinstance(index, MessageIndex):
                return entries
            for log_ns, offset in index.records:
                entries[offset] = (index.channel_id, log_ns)
            at += HEAD.size + length

    def _behind_a_break(
        self, data: bytes, reached: int, indexed: dict[int, tuple[int, int]]
    ) -> list[Inner]:
        """Messages behind a place in a chunk without a CRC where its records do not follow on."""
        found = []
        for offset in sorted(o for o in indexed if reached < o <= len(data) - HEAD.size):
            opcode, length = HEAD.unpack_from(data, offset)
            fits = length <= len(data) - offset - HEAD.size and offset >= reached
            if opcode == Opcode.MESSAGE and fits:
                found.append(Inner(opcode, offset + HEAD.size, length))
                reached = offset + HEAD.size + length
        return found


def _agree(known: Channel | Schema, other: Channel | Schema) -> bool:
    if isinstance(known, Channel) and isinstance(other, Channel):
        return (known.topic, known.schema_id) == (other.topic, other.schema_id)
    if isinstance(known, Schema) and isinstance(other, Schema):
        return known.name == other.name
    return False
