"""Reads an episode's bag, or one of `ros2 bag record`, and vouches for its bytes."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from mcap.records import Attachment

from vla_rl_nodes.bags.bag_metadata import METADATA, BagMetadata
from vla_rl_nodes.bags.batch import Batch, RawMessage
from vla_rl_nodes.bags.columns import Columns
from vla_rl_nodes.bags.held import HeldTopic, Memory
from vla_rl_nodes.bags.manifest import Manifest, load_manifest
from vla_rl_nodes.bags.schemas import decode
from vla_rl_nodes.bags.sources import Source, find_sources
from vla_rl_nodes.bags.stream import DamageError
from vla_rl_nodes.bags.writer import CLOSE_RECORD, EPISODE_RECORD
from vla_rl_nodes.errors import InputError

_REMEDY = "run `vla-rl bag salvage` on it, or record the episode again"
# What is held of a topic in memory: arrays of its fields, or its messages.
What = Literal["columns", "messages"]
COLUMNS: What = "columns"
MESSAGES: What = "messages"
Hold = Callable[[str], What | None]


class Decoded(NamedTuple):
    """One message with its times, in nanoseconds."""

    log_time_ns: int
    publish_time_ns: int
    message: Any


@dataclass
class TopicContent:
    """What a bag holds of one topic. Times are log times, nanoseconds."""

    type_name: str
    count: int = 0
    first_ns: int = 0
    last_ns: int = 0


@dataclass
class _Content:
    topics: dict[str, TopicContent] = field(default_factory=dict)
    metadata: dict[str, dict[str, str]] = field(default_factory=dict)
    attachments: dict[str, bytes] = field(default_factory=dict)


class EpisodeReader:
    """A bag that was read through once, so that its later use cannot meet damage.

    Opening checks all that can be checked: in MCAP the CRCs of chunks, attachments, data section
    and summary; in SQLite the database's structure; where a manifest stands beside the file, its
    size and SHA-256; where metadata.yaml does, the number of messages. Memory stays at one chunk
    and what is held.

    Args:
        path: a bag's folder, or an ``.mcap`` or ``.db3`` file, also inside ``.zstd``.
        partial: read a bag that was not closed, or that is damaged, up to where it is intact;
            ``problem`` then says what ended it.
        hold: for each topic, what to keep of it while the bag is read through, so that
            ``columns`` and ``cdr`` need not read it again.

    Raises:
        InputError: in one line, what is missing, unclosed, cut or changed, and the remedy.
    """

    def __init__(self, path: Path, partial: bool = False, hold: Hold | None = None) -> None:
        self.path = path
        self.manifest: Manifest | None = None
        self.problem: str | None = None
        self._partial = partial
        self._intact: dict[Source, int] = {}
        self._content = _Content()
        self._held: dict[str, HeldTopic] = {}
        self._memory = Memory()
        try:
            self.manifest = load_manifest(path) if path.is_dir() else None
        except InputError as error:
            self._refuse(error)
        self._sources, listed = find_sources(path, self.manifest)
        with ThreadPoolExecutor(1) as beside:
            whole = beside.submit(self._is_the_manifests)
            for source in self._sources:
                self._scan(source, hold)
            if self.problem is None:
                self._check_closed(listed, whole.result())
        for held in self._held.values():
            held.finish()
        self._held = {topic: held for topic, held in self._held.items() if not held.lost}

    @property
    def files(self) -> tuple[Path, ...]:
        """The bag's recordings, in order."""
        return tuple(source.path for source in self._sources)

    @property
    def closed(self) -> bool:
        """Whether the bag is whole; a bag of ours without its manifest is not."""
        return self.problem is None

    @property
    def topics(self) -> dict[str, TopicContent]:
        """What the bag holds of each topic that has messages."""
        return self._content.topics

    @property
    def metadata(self) -> dict[str, str]:
        """What the writer knew of the episode; empty in another recording."""
        opened = self._content.metadata.get(EPISODE_RECORD, {})
        return {**opened, **self._content.metadata.get(CLOSE_RECORD, {})}

    @property
    def attachments(self) -> dict[str, bytes]:
        """Attached files by name."""
        return self._content.attachments

    def __iter__(self) -> Iterator[RawMessage]:
        """All messages in the order in which they were written."""
        return self.raw()

    def raw(self, topics: Collection[str] | None = None) -> Iterator[RawMessage]:
        """Messages of some topics, or of all, in the order in which they were written.

        Raises:
            InputError: a topic that the bag does not hold.
        """
        for topic in topics or ():
            self._require(topic)
        for batch in self._batches():
            if topics is None:
                yield from batch.messages()
                continue
            chosen = [which for channel, which in batch.parts() if channel.topic in topics]
            if chosen:
                yield from batch.select(np.sort(np.concatenate(chosen))).messages()

    def messages(self, topic: str) -> Iterator[Decoded]:
        """The messages of one topic, deserialised.

        Raises:
            InputError: no such topic, an unknown type, or bytes that do not fit the type.
        """
        self._require(topic)
        for raw in self.raw((topic,)):
            yield Decoded(
                raw.log_time_ns,
                raw.publish_time_ns,
                decode(raw.type_name, raw.data, f"{self.path}: {topic}"),
            )

    def hold(self, wanted: Mapping[str, What]) -> None:
        """Reads the bag once more for topics that are not held yet, and holds them from then on.

        Raises:
            InputError: a topic that the bag does not hold, or that does not fit into memory.
        """
        for topic in wanted:
            self._require(topic)
        wanted = {topic: what for topic, what in wanted.items() if topic not in self._held}
        if wanted:
            self._gather(wanted)
            # A topic whose messages change their layout is read again, without looking for one.
            lost = {topic: MESSAGES for topic in wanted if self._held[topic].lost}
            if lost:
                self._gather(lost)

    def columns(self, topic: str) -> Columns:
        """All messages of one topic as one array for each field.

        Raises:
            InputError: no such topic, an unknown type, or bytes that do not fit the type.
        """
        self.hold({topic: COLUMNS})
        return self._held[topic].columns(f"{self.path}: {topic}")

    def has_layout(self, topic: str) -> bool:
        """Whether all messages of a topic that is held have one layout."""
        return topic in self._held and self._held[topic].has_layout

    def cdr(self, topic: str) -> Iterator[bytes]:
        """The CDR bytes of one topic's messages, in order, maybe without what stood behind them.

        Raises:
            InputError: no such topic.
        """
        self.hold({topic: MESSAGES})
        return self._held[topic].messages()

    def _gather(self, wanted: Mapping[str, What]) -> None:
        gathered: dict[str, HeldTopic] = {}
        for batch in self._batches():
            for channel, which in batch.parts():
                topic = channel.topic
                if topic in wanted:
                    if topic not in gathered:
                        by_layout = wanted[topic] == COLUMNS
                        gathered[topic] = HeldTopic(channel, by_layout, self._memory)
                    gathered[topic].add(batch, which)
        for held in gathered.values():
            held.finish()
        self._held |= gathered

    def _batches(self) -> Iterator[Batch]:
        """All messages once more; not one more than were intact, behind them may be damage."""
        for source in self._sources:
            left = self._intact[source]
            try:
                for piece in source.pieces() if left else ():
                    if isinstance(piece, Batch):
                        batch = piece if len(piece) <= left else piece.select(slice(left))
                        left -= len(batch)
                        yield batch
                        if left == 0:
                            break
            except DamageError as error:
                raise _changed(source) from error
            if left:
                raise _changed(source)

    def _require(self, topic: str) -> None:
        if topic not in self.topics:
            held = ", ".join(sorted(self.topics)) or "no topic"
            raise InputError(self.path, f"has no messages on {topic}", f"it holds {held}")

    def _refuse(self, error: InputError) -> None:
        if not self._partial:
            raise error
        if self.problem is None:
            self.problem = str(error)

    def _scan(self, source: Source, hold: Hold | None) -> None:
        count = 0
        try:
            for piece in source.pieces():
                if isinstance(piece, Batch):
                    self._take(piece, hold)
                    count += len(piece)
                elif isinstance(piece, Attachment):
                    self._content.attachments[piece.name] = piece.data
                else:
                    self._content.metadata[piece.name] = piece.metadata
        except DamageError as damage:
            unclosed = damage.cut and self.manifest is None
            what = "was not closed" if unclosed else "is damaged"
            self._refuse(InputError(source.path, f"{what}: {damage.problem}", _REMEDY))
        self._intact[source] = count

    def _take(self, batch: Batch, hold: Hold | None) -> None:
        for channel, which in batch.parts():
            times = batch.log_ns[which]
            first, last = int(times.min()), int(times.max())
            content = self._content.topics.get(channel.topic)
            if content is None:
                content = TopicContent(channel.type_name, 0, first, last)
                self._content.topics[channel.topic] = content
                wanted = None if hold is None else hold(channel.topic)
                if wanted is not None:
                    held = HeldTopic(channel, wanted == COLUMNS, self._memory)
                    self._held[channel.topic] = held
            elif content.type_name != channel.type_name:
                raise InputError(
                    channel.topic,
                    f"carries both {content.type_name} and {channel.type_name}",
                    "record it with one type",
                )
            content.count += len(which)
            content.first_ns = min(content.first_ns, first)
            content.last_ns = max(content.last_ns, last)
            if channel.topic in self._held:
                self._held[channel.topic].add(batch, which)

    def _is_the_manifests(self) -> bool:
        """Whether the file has the manifest's size and hash; without a manifest it has."""
        if self.manifest is None:
            return True
        try:
            with self._sources[0].path.open("rb") as file:
                if os.fstat(file.fileno()).st_size != self.manifest.size:
                    return False
                return hashlib.file_digest(file, "sha256").hexdigest() == self.manifest.sha256
        except OSError:
            return False  # reading it says why

    def _check_closed(self, listed: BagMetadata | None, as_hashed: bool) -> None:
        if self.path.is_file():
            return
        file = self._sources[0].path
        if self.manifest is not None:
            if not as_hashed:
                problem = "is damaged: it is not the file of its manifest.json"
                self._refuse(InputError(file, problem, _REMEDY))
            return
        if EPISODE_RECORD in self._content.metadata:  # our own bag, not another recording
            self._refuse(InputError(file, "was not closed: it has no manifest.json", _REMEDY))
        elif listed is None and len(self._sources) > 1:
            self._refuse(
                InputError(
                    self.path, f"was not closed: it has no {METADATA}",
                    "run `ros2 bag reindex` on the folder",
                )
            )  # fmt: skip
        elif listed is not None:
            self._check_counts(listed)

    def _check_counts(self, listed: BagMetadata) -> None:
        found = {name: content.count for name, content in self.topics.items()}
        total = sum(found.values())
        if listed.message_count is not None and listed.message_count != total:
            missing = sorted(set(listed.counts.items()) ^ set(found.items()))
            where = f" ({missing[0][0]} and others)" if missing and listed.counts else ""
            self._refuse(
                InputError(
                    self.path,
                    f"is damaged: it holds {total} messages, {METADATA} says"
                    f" {listed.message_count}{where}",
                    "run `ros2 bag reindex` on the folder to take it as it is",
                )
            )


def _changed(source: Source) -> InputError:
    return InputError(source.path, "changed while it was read", "read it again")
