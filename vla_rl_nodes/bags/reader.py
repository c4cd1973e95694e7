"""Reads an episode's bag, or another MCAP recording, and vouches for its bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from mcap.records import Attachment, Metadata

from vla_rl_nodes.bags.manifest import Manifest, load_manifest
from vla_rl_nodes.bags.schemas import decode
from vla_rl_nodes.bags.stream import DamageError, RawMessage, records
from vla_rl_nodes.bags.writer import CLOSE_RECORD, EPISODE_RECORD
from vla_rl_nodes.contract.load import read_yaml
from vla_rl_nodes.errors import InputError

_REMEDY = "record the episode again; `vla-rl bag info` shows what of it is intact"


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

    Opening checks every checksum in the file: the CRCs of its chunks and of its data section and,
    where a manifest stands beside it, its size and SHA-256. Memory stays at one chunk.

    Args:
        path: a bag's folder, or an ``.mcap`` file.
        partial: read a bag that was not closed, or that is damaged, up to where it is intact;
            ``problem`` then says what ended it.

    Raises:
        InputError: in one line, what is missing, unclosed, cut or changed, and the remedy.
    """

    def __init__(self, path: Path, partial: bool = False) -> None:
        self.path = path
        self.manifest: Manifest | None = None
        self.problem: str | None = None
        self._partial = partial
        self._intact: dict[Path, int] = {}
        self._content = _Content()
        try:
            self.manifest = load_manifest(path) if path.is_dir() else None
        except InputError as error:
            self._refuse(error)
        self.files = _files(path, self.manifest)
        for file in self.files:
            self._scan(file)
        self._check_manifest()

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
        for file in self.files:
            messages = (r for r in records(file) if isinstance(r, RawMessage))
            try:
                # Not one more than were intact: behind the last one there may be damage.
                for message in islice(messages, self._intact[file]):
                    if topics is None or message.topic in topics:
                        yield message
            except DamageError as error:
                raise InputError(file, "changed while it was read", "read it again") from error

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

    def _require(self, topic: str) -> None:
        if topic not in self.topics:
            held = ", ".join(sorted(self.topics)) or "no topic"
            raise InputError(self.path, f"has no messages on {topic}", f"it holds {held}")

    def _refuse(self, error: InputError) -> None:
        if not self._partial:
            raise error
        if self.problem is None:
            self.problem = str(error)

    def _scan(self, file: Path) -> None:
        count = 0
        try:
            for record in records(file):
                if isinstance(record, RawMessage):
                    _add(self._content.topics, record)
                    count += 1
                elif isinstance(record, Attachment):
                    self._content.attachments[record.name] = record.data
                elif isinstance(record, Metadata):
                    self._content.metadata[record.name] = record.metadata
        except DamageError as damage:
            unclosed = damage.cut and self.manifest is None
            what = "was not closed" if unclosed else "is damaged"
            self._refuse(InputError(file, f"{what}: {damage.problem}", _REMEDY))
        self._intact[file] = count

    def _check_manifest(self) -> None:
        if self.problem is not None or self.path.is_file():
            return
        if self.manifest is None:
            if EPISODE_RECORD in self._content.metadata:  # our own bag, not another recording
                self._refuse(
                    InputError(self.files[0], "was not closed: it has no manifest.json", _REMEDY)
                )
            return
        file = self.files[0]
        if file.stat().st_size != self.manifest.size or _sha256(file) != self.manifest.sha256:
            self._refuse(
                InputError(file, "is damaged: it is not the file of its manifest.json", _REMEDY)
            )


def _add(topics: dict[str, TopicContent], message: RawMessage) -> None:
    time_ns = message.log_time_ns
    content = topics.get(message.topic)
    if content is None:
        topics[message.topic] = TopicContent(message.type_name, 1, time_ns, time_ns)
        return
    if content.type_name != message.type_name:
        raise InputError(
            message.topic,
            f"carries both {content.type_name} and {message.type_name}",
            "record it with one type",
        )
    content.count += 1
    content.first_ns = min(content.first_ns, time_ns)
    content.last_ns = max(content.last_ns, time_ns)


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _files(path: Path, manifest: Manifest | None) -> tuple[Path, ...]:
    """The bag's MCAP files: the manifest's, those of metadata.yaml, or the only one there."""
    if path.is_file():
        if path.suffix != ".mcap":
            raise InputError(path, "is no MCAP file", "give a bag's folder or its .mcap file")
        return (path,)
    if not path.is_dir():
        raise InputError(path, "does not exist", "check the path")
    if manifest is not None:
        return (path / manifest.file,)
    listed = _listed(path)
    if listed is not None:
        return listed
    found = sorted(path.glob("*.mcap"))
    if not found:
        raise InputError(path, "holds no .mcap file", "give the folder of one recorded episode")
    if len(found) > 1:
        raise InputError(
            path, f"holds {len(found)} .mcap files and no metadata.yaml", "give one of the files"
        )
    return (found[0],)


def _listed(folder: Path) -> tuple[Path, ...] | None:
    """The files that metadata.yaml lists, as rosbag2 splits a long recording; None without it."""
    path = folder / "metadata.yaml"
    if not path.is_file():
        return None
    info = read_yaml(path).get("rosbag2_bagfile_information")
    storage = info.get("storage_identifier") if isinstance(info, dict) else None
    names = info.get("relative_file_paths") if isinstance(info, dict) else None
    if not isinstance(names, list) or not names or not all(isinstance(n, str) for n in names):
        raise InputError(path, "lists no files", "run `ros2 bag reindex` on the folder")
    if storage != "mcap":
        raise InputError(
            path, f"is a bag in {storage}", "convert it with `ros2 bag convert` to mcap"
        )
    # Only the last part: a listed name must never lead out of the folder.
    files = tuple(folder / Path(name).name for name in names)
    missing = next((file for file in files if not file.is_file()), None)
    if missing is not None:
        raise InputError(missing, "is listed in metadata.yaml but missing", "fetch the whole bag")
    return files
