"""Writes what was salvaged as a closed bag that appears whole or not at all."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, Self, cast

import yaml
from mcap.records import Channel, Schema
from mcap.writer import CompressionType, IndexType, Writer

from vla_rl_nodes.bags.durable import HashedFile, sync_folder, write_durably
from vla_rl_nodes.bags.manifest import Manifest, Outcome, TopicEntry, save_manifest
from vla_rl_nodes.bags.rosbag2 import Topic, information, metadata_yaml
from vla_rl_nodes.bags.salvage_messages import Salvaged
from vla_rl_nodes.bags.writer import CLOSE_RECORD, EPISODE_RECORD
from vla_rl_nodes.errors import InputError

LIBRARY = "vla_rl_nodes salvage"  # messages keep the numbers that they had


class SalvageWriter:
    """A bag with chunk CRCs in a folder that gets its name when everything is on the disk.

    Use it as a context manager: what was begun and not finished is removed.

    Args:
        folder: the new bag's folder; must not exist yet.
        episode_id: also the file's name.
        metadata: of the episode.

    Raises:
        InputError: the folder exists, or cannot be made.
    """

    def __init__(self, folder: Path, episode_id: str, metadata: Mapping[str, str]) -> None:
        self._folder, self._episode_id = folder, episode_id
        self._metadata = dict(metadata)
        self._name = f"{episode_id}.mcap"
        self._ids: dict[tuple[str, str, str], int] = {}
        self._schemas: dict[tuple[str, str, bytes], int] = {}
        self._topics: dict[str, Topic] = {}
        self._counts: Counter[str] = Counter()
        self._first_ns: int | None = None
        self._last_ns = 0
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            self._temporary = Path(tempfile.mkdtemp(prefix=".salvage-", dir=folder.parent))
            self._raw = (self._temporary / self._name).open("xb")
        except OSError as error:
            raise _unwritable(folder, error) from error
        self._file = HashedFile(self._raw)
        self._mcap = Writer(
            cast(Any, self._file), compression=CompressionType.ZSTD, index_types=IndexType.ALL,
            enable_crcs=True, enable_data_crcs=True,
        )  # fmt: skip

    def __enter__(self) -> Self:
        self._mcap.start(profile="ros2", library=LIBRARY)
        self.add_metadata(EPISODE_RECORD, {"episode_id": self._episode_id, **self._metadata})
        return self

    def __exit__(self, *raised: object) -> Literal[False]:
        with contextlib.suppress(OSError):  # what is buffered may not fit on the disk either
            self._raw.close()
        shutil.rmtree(self._temporary, ignore_errors=True)
        return False

    def add_metadata(self, name: str, values: Mapping[str, str]) -> None:
        """Adds a metadata record."""
        self._mcap.add_metadata(name, dict(values))

    def add_attachment(
        self, name: str, media_type: str, data: bytes, log_time_ns: int, create_time_ns: int
    ) -> None:
        """Adds an attached file."""
        self._mcap.add_attachment(create_time_ns, log_time_ns, name, media_type, data)

    def declare(self, channel: Channel, schema: Schema | None) -> int:
        """The id of a channel in the new bag; channels of several files that are the same join."""
        kind = "" if schema is None else schema.name
        key = (channel.topic, kind, channel.message_encoding)
        if key not in self._ids:
            number = 0
            if schema is not None:
                content = (schema.name, schema.encoding, schema.data)
                if content not in self._schemas:
                    self._schemas[content] = self._mcap.register_schema(*content)
                number = self._schemas[content]
            self._ids[key] = self._mcap.register_channel(
                channel.topic, channel.message_encoding, number, channel.metadata
            )
            type_hash = channel.metadata.get("topic_type_hash", "")
            self._topics.setdefault(
                channel.topic, Topic(channel.topic, kind, (), type_hash=type_hash)
            )
        return self._ids[key]

    def write(self, message: Salvaged) -> None:
        """Appends a message with the times and the number that it had."""
        number = self.declare(message.channel, message.schema)
        self._mcap.add_message(
            number, message.log_time_ns, message.data, message.publish_time_ns, message.sequence
        )
        self._counts[message.channel.topic] += 1
        first = message.log_time_ns if self._first_ns is None else self._first_ns
        self._first_ns = min(first, message.log_time_ns)
        self._last_ns = max(self._last_ns, message.log_time_ns)

    def close(
        self,
        outcome: Outcome,
        metadata: Mapping[str, str],
        dropped: Mapping[str, int],
        attached: Iterable[tuple[str, str, bytes]],
    ) -> Manifest:
        """Ends the bag, syncs it and gives its folder its name.

        Args:
            outcome: of the episode.
            metadata: what became known on the way; joins what was given at the start.
            dropped: messages per topic that the recorder had not recorded.
            attached: further attachments: name, media type, bytes.
        """
        final = {**self._metadata, **metadata}
        for name, media_type, data in attached:
            self.add_attachment(name, media_type, data, self._first_ns or 0, 0)
        topics = list(self._topics.values())
        info = information(
            self._name, topics, self._counts, self._first_ns or 0, self._last_ns,
            {"episode_id": self._episode_id, "outcome": outcome},
        )  # fmt: skip
        self.add_metadata(CLOSE_RECORD, {"outcome": outcome, **final})
        serialized = yaml.safe_dump(info, sort_keys=False)
        self.add_metadata("rosbag2", {"serialized_metadata": serialized})
        self._mcap.finish()  # type: ignore[no-untyped-call]
        self._raw.flush()
        os.fsync(self._raw.fileno())
        entries = {t.name: TopicEntry(type=t.type, messages=self._counts[t.name]) for t in topics}
        manifest = Manifest(
            episode_id=self._episode_id,
            outcome=outcome,
            file=self._name,
            size=self._file.size,
            sha256=self._file.sha256.hexdigest(),
            messages=sum(self._counts.values()),
            start_ns=self._first_ns or 0,
            end_ns=self._last_ns,
            topics=entries,
            dropped=dict(dropped),
            metadata=final,
        )
        write_durably(self._temporary / "metadata.yaml", metadata_yaml(info).encode())
        save_manifest(self._temporary, manifest)
        self._temporary.chmod(0o755)
        os.rename(self._temporary, self._folder)
        sync_folder(self._folder.parent)
        return manifest


def _unwritable(folder: Path, error: OSError) -> InputError:
    reason = (error.strerror or "input/output error").lower()
    return InputError(
        folder, f"cannot be written ({reason})", "free space or choose another folder"
    )
