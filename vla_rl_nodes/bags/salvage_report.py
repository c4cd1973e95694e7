"""What a salvage recovered, what it could not, and what is known of that."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from mcap.opcode import Opcode
from mcap.records import ChunkIndex, MessageIndex, Statistics

from vla_rl_nodes.bags.mcap_records import HEAD
from vla_rl_nodes.bags.salvage_scan import Definition, Loss, Scan
from vla_rl_nodes.bags.salvage_source import LARGEST_RECORD, Source, strict


@dataclass(frozen=True)
class SourceFile:
    """One damaged file as it was found.

    ``closed``: it ends as an MCAP file ends. ``data_crc``: whether the checksum over all of its
    data, where it has one, is right.
    """

    name: str
    size: int
    sha256: str
    closed: bool
    data_crc: str  # right, wrong or none
    summary: str  # intact, damaged or none


@dataclass(frozen=True)
class LostRange:
    """Bytes [start, end) of a file out of which not everything was recovered."""

    file: str
    start: int
    end: int
    reason: str


@dataclass(frozen=True)
class LostChunk:
    """A chunk that is lost, as an index or its own header describes it. Log times, nanoseconds.

    ``messages`` per topic; None where no index tells.
    """

    file: str
    start: int
    end: int
    start_ns: int
    end_ns: int
    messages: dict[str, int] | None


@dataclass
class TopicReport:
    """One topic: messages that were recovered, how many of them no CRC vouches for, and how many
    are missing from what the file or its manifest counts; None where nothing counts them."""

    type: str
    messages: int = 0
    unverified: int = 0
    lost: int | None = None


@dataclass
class SalvageReport:
    """The whole of a salvage. ``complete``: nothing was lost, nothing is uncertain."""

    bag: str
    out: str
    episode_id: str
    outcome: str
    files: list[SourceFile] = field(default_factory=list)
    messages: int = 0
    unverified: int = 0
    topics: dict[str, TopicReport] = field(default_factory=dict)
    lost: list[LostRange] = field(default_factory=list)
    lost_chunks: list[LostChunk] = field(default_factory=list)
    missing_files: list[str] = field(default_factory=list)
    metadata_verified: bool = False

    @property
    def lost_bytes(self) -> int:
        """Size of the ranges together."""
        return sum(lost.end - lost.start for lost in self.lost)

    @property
    def complete(self) -> bool:
        """Whether every message of the original is there and vouched for."""
        intact = all(
            f.closed and f.data_crc != "wrong" and f.summary == "intact" for f in self.files
        )
        return intact and not self.lost and not self.missing_files and not self.unverified

    def in_words(self) -> str:
        """What was lost, in one line."""
        parts = [f"{self.lost_bytes} bytes in {len(self.lost)} ranges"] if self.lost else []
        counted = {t.lost for t in self.topics.values()}
        if self.lost and None not in counted:
            parts.append(f"{sum(t.lost or 0 for t in self.topics.values())} messages")
        if self.missing_files:
            parts.append(f"files {', '.join(self.missing_files)}")
        if not all(f.closed for f in self.files):
            parts.append("whatever came after the end of a file that was not closed")
        return ", ".join(parts) or "nothing"


def merged(losses: list[Loss]) -> list[Loss]:
    """Losses in order; those that lie in another one count with it."""
    found: list[Loss] = []
    for loss in sorted(losses, key=lambda x: (x.start, -x.end)):
        if found and loss.end <= found[-1].end:
            continue
        found.append(loss)
    return found


def lost_chunks(
    source: Source,
    found: Scan,
    losses: list[Loss],
    kept: set[int],
    channels: dict[int, Definition],
) -> list[LostChunk]:
    """The chunks that stood where something was lost."""
    begins = sorted({*kept, *found.chunk_indexes, *(c.begin for c in found.damaged_chunks)})
    chunks = []
    for begin, index in found.chunk_indexes.items():
        end = begin + index.chunk_length
        if begin in kept or not any(x.start < end and begin < x.end for x in losses):
            continue
        counts = _indexed(source, index)
        chunks.append((begin, end, index.message_start_time, index.message_end_time, counts))
    known = {begin for begin, *_ in chunks} | set(found.chunk_indexes)
    for chunk in found.damaged_chunks:
        if chunk.begin in kept or chunk.begin in known:
            continue
        following = next((b for b in begins if b > chunk.begin), source.size)
        counts = {
            channel: count
            for at, channel, count in found.message_indexes
            if chunk.end <= at < following
        } or None
        chunks.append((chunk.begin, chunk.end, chunk.start_ns, chunk.end_ns, counts))
    return [
        LostChunk(source.path.name, begin, end, first, last, _by_topic(counts, channels))
        for begin, end, first, last, counts in sorted(chunks, key=lambda c: c[0])
    ]


def _indexed(source: Source, index: ChunkIndex) -> dict[int, int] | None:
    """Messages of a chunk per channel, as the indexes behind it count them."""
    counts: dict[int, int] = {}
    for channel, offset in index.message_index_offsets.items():
        record = _message_index(source, offset)
        if record is None or record.channel_id != channel:
            return None
        counts[channel] = len(record.records)
    return counts


def _by_topic(
    counts: dict[int, int] | None, channels: dict[int, Definition]
) -> dict[str, int] | None:
    if counts is None:
        return None
    topics: Counter[str] = Counter()
    for number, count in counts.items():
        known = channels.get(number)
        topics["an unknown topic" if known is None else known.record.topic] += count
    return dict(sorted(topics.items()))


def _message_index(source: Source, at: int) -> MessageIndex | None:
    head = source.read(at, HEAD.size)
    opcode, length = HEAD.unpack(head) if len(head) == HEAD.size else (0, 0)
    if opcode != Opcode.MESSAGE_INDEX or length > LARGEST_RECORD:
        return None
    record = strict(opcode, source.read(at + HEAD.size, length))
    return record if isinstance(record, MessageIndex) else None


def counted(found: Scan, channels: dict[int, Definition]) -> dict[str, int] | None:
    """Messages per topic as the file's own statistics count them; None without statistics."""
    if found.summary is None:
        return None
    for record in found.summary.records:
        if isinstance(record, Statistics):
            totals: Counter[str] = Counter()
            for number, definition in channels.items():
                count = record.channel_message_counts.get(number, 0)
                totals[definition.record.topic] += count
            return dict(totals)
    return None
