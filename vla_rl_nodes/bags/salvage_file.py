"""One damaged file, scanned, with what its schemas and channels are and who vouches for them."""

from __future__ import annotations

from dataclasses import dataclass

from mcap.records import Channel, Schema

from vla_rl_nodes.bags.salvage_messages import Messages
from vla_rl_nodes.bags.salvage_report import SourceFile
from vla_rl_nodes.bags.salvage_scan import Definition, Scan, scan
from vla_rl_nodes.bags.salvage_source import Source
from vla_rl_nodes.bags.schemas import schema_text, type_hash
from vla_rl_nodes.bags.start_copy import StartCopy, read_copy
from vla_rl_nodes.bags.writer import LIBRARY
from vla_rl_nodes.errors import InputError

_COPIED_ID = 1 << 16  # above every id that a file can give a schema


@dataclass(frozen=True)
class ExaminedFile:
    """What is whole in a file, and what is known of it. Schemas and channels are by their ids."""

    source: Source
    found: Scan
    copy: StartCopy | None
    schemas: dict[int, Definition]
    channels: dict[int, Definition]
    about: SourceFile

    def messages(self) -> Messages:
        """The messages that may be kept; to be gone through once."""
        found = self.found
        numbered = found.library == LIBRARY or (not found.library and self.copy is not None)
        return Messages(
            self.source, found, self.schemas, self.channels, self.copy, numbered,
            self.about.data_crc == "right",
        )  # fmt: skip


def examine(source: Source) -> ExaminedFile:
    """Scans a file; its messages are not read yet."""
    found = scan(source)
    copies = [c for c in map(read_copy, found.metadata) if c is not None]
    # The first is the file's own: another recording's can only stand behind it.
    same = [c for c in copies if c.start_ns == copies[0].start_ns]
    copy = same[-1] if same else None
    end, crc = found.data_end or (0, 0)
    sha256, data_crc = source.hashes(end if crc else 0)
    about = SourceFile(
        source.path.name, source.size, sha256, found.closed,
        "none" if not crc else "right" if crc == data_crc else "wrong",
        "intact" if found.summary else "damaged" if found.closed else "none",
    )  # fmt: skip
    schemas, channels = dict(found.schemas), dict(found.channels)
    if copy is not None:
        _overrule(schemas, channels, copy)
    return ExaminedFile(source, found, copy, schemas, channels, about)


def _overrule(
    schemas: dict[int, Definition], channels: dict[int, Definition], copy: StartCopy
) -> None:
    """Puts the bag's copy of its channels in the place of whatever contradicts it."""
    for number, topic, type_name in copy.channels:
        known = channels.get(number)
        schema = None if known is None else schemas.get(known.record.schema_id)
        same = known and schema and (known.record.topic, schema.record.name) == (topic, type_name)
        if same and known and schema and known.checked and schema.checked:
            continue
        try:
            text, digest = schema_text(type_name), type_hash(type_name)
        except InputError:
            continue  # a type of a later version
        by_name = (i for i, s in schemas.items() if s.checked and s.record.name == type_name)
        at = next(by_name, _COPIED_ID + number)
        if at not in schemas:
            record = Schema(id=at, name=type_name, encoding="ros2msg", data=text.encode())
            schemas[at] = Definition(record, True)
        details = {"offered_qos_profiles": "[]", "topic_type_hash": digest}
        channel = Channel(
            id=number, topic=topic, message_encoding="cdr", metadata=details, schema_id=at
        )
        channels[number] = Definition(channel, True)
