"""A new, closed bag out of everything that is intact in a damaged one."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import cast, get_args

from mcap.records import Attachment, Metadata

from vla_rl_nodes.bags.manifest import Manifest, Outcome, load_manifest
from vla_rl_nodes.bags.mcap_records import HEAD
from vla_rl_nodes.bags.salvage_file import ExaminedFile, examine
from vla_rl_nodes.bags.salvage_messages import Salvaged
from vla_rl_nodes.bags.salvage_report import (
    LostRange,
    SalvageReport,
    TopicReport,
    counted,
    lost_chunks,
    merged,
)
from vla_rl_nodes.bags.salvage_scan import Scan
from vla_rl_nodes.bags.salvage_source import Source, strict
from vla_rl_nodes.bags.salvage_write import SalvageWriter
from vla_rl_nodes.bags.schemas import decode
from vla_rl_nodes.bags.writer import CLOSE_RECORD, EPISODE_RECORD
from vla_rl_nodes.contract.load import read_yaml
from vla_rl_nodes.errors import InputError

SALVAGED_FROM = "salvaged_from"  # metadata of a salvaged bag: SHA-256 of what it was made from
SALVAGED_LOST = "salvaged_lost"
SALVAGED_UNVERIFIED = "salvaged_unverified"
SALVAGED_METADATA = "salvaged_metadata"
REPORT = "salvage.json"
_STATE_TOPIC = "/episode/state"
_EVENT = "diagnostic_msgs/msg/DiagnosticArray"
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


def salvage(
    bag: Path, out: Path, progress: Callable[[float], None] = lambda share: None
) -> SalvageReport:
    """Copies every intact message of a damaged bag to a new one; the old one is only read.

    Messages in chunks with a CRC are kept where that CRC is right, whatever stands in front of
    them; so nothing that changed gets through. Messages without a CRC are kept where their
    structure is right, and counted as unverified. A chunk whose end is missing is lost: its CRC
    cannot be checked. Memory stays at a few times the largest chunk, 256 MiB at most each.

    The new bag's metadata names the SHA-256 of the old one and what was lost; the whole report is
    attached to it as ``salvage.json``. Its outcome is what the episode's own state said, and
    aborted where that is lost.

    Args:
        bag: a bag's folder, or an ``.mcap`` file.
        out: the new bag's folder; must not exist yet.
        progress: called with the share that is done.

    Raises:
        InputError: no bag, no intact message in it, or a folder that exists or cannot be written.
    """
    files, missing = _files(bag)
    if out.exists():
        raise InputError(out, "exists already", "give a new folder")
    if bag.is_dir() and bag.resolve() in out.resolve().parents:
        raise InputError(out, "lies inside of the bag", "give a folder outside of it")
    manifest = _manifest(bag)
    with ExitStack() as stack:
        scanned = []
        for path in files:
            scanned.append(examine(stack.enter_context(Source(path))))
            progress(0.5 * len(scanned) / len(files))
        known, sure = _metadata(scanned, manifest)
        episode_id = _episode_id(known, manifest, scanned[0])
        report = SalvageReport(
            str(bag), str(out), episode_id, "aborted",
            files=[f.about for f in scanned], missing_files=missing, metadata_verified=sure,
        )  # fmt: skip
        if not any(f.found.pieces for f in scanned):
            raise InputError(
                bag, "holds no intact message", "nothing can be salvaged; nothing was written"
            )
        try:
            with SalvageWriter(out, episode_id, known) as writer:
                outcome: str | None = None
                for number, file in enumerate(scanned):
                    outcome = _copy_file(file, writer, report, episode_id) or outcome
                    progress(0.5 + 0.5 * (number + 1) / len(scanned))
                if not report.messages:
                    raise InputError(
                        bag, "holds no intact message",
                        "nothing can be salvaged; nothing was written",
                    )  # fmt: skip
                report.outcome = outcome or "aborted"
                if manifest is not None:
                    _count_lost(report, {t: e.messages for t, e in manifest.topics.items()})
                dropped = {} if manifest is None else dict(manifest.dropped)
                text = json.dumps(as_json(report), sort_keys=True, indent=1) + "\n"
                writer.close(
                    cast(Outcome, report.outcome), _said(report, known), dropped,
                    [(REPORT, "application/json", text.encode())],
                )  # fmt: skip
        except OSError as error:
            reason = (error.strerror or "input/output error").lower()
            raise InputError(
                out, f"cannot be written ({reason})", "free space or choose another folder"
            ) from error
    return report


def as_json(report: SalvageReport) -> dict[str, object]:
    """The report for machines."""
    return {**asdict(report), "lost_bytes": report.lost_bytes, "complete": report.complete}


def _said(report: SalvageReport, known: dict[str, str]) -> dict[str, str]:
    """What a bag's metadata says of its salvage; an earlier one stays named behind it."""
    said = {
        SALVAGED_FROM: ",".join(f.sha256 for f in report.files),
        SALVAGED_LOST: report.in_words(),
        SALVAGED_UNVERIFIED: str(report.unverified),
        SALVAGED_METADATA: "verified" if report.metadata_verified else "unverified",
    }
    if SALVAGED_LOST in known:
        said[SALVAGED_LOST] += f"; before that: {known[SALVAGED_LOST]}"
    return said


def _files(bag: Path) -> tuple[list[Path], list[str]]:
    """The bag's MCAP files in their order, and the names of those that are listed but missing."""
    if bag.is_file():
        return [bag], []
    if not bag.is_dir():
        raise InputError(bag, "does not exist", "check the path")
    found = {p.name: p for p in bag.glob("*.mcap") if p.is_file()}
    if not found:
        raise InputError(bag, "holds no .mcap file", "give the folder of one recording")
    listed: list[str] = []
    try:
        info = read_yaml(bag / "metadata.yaml").get("rosbag2_bagfile_information")
        names = info.get("relative_file_paths") if isinstance(info, dict) else None
        listed = [Path(n).name for n in names or () if isinstance(n, str)]
    except InputError:
        pass  # a crash leaves none, and a damaged one is no reason to lose messages
    order = sorted(found, key=lambda n: [int(p) if p.isdigit() else p for p in
                                         re.split(r"(\d+)", n)])  # fmt: skip
    return [found[n] for n in order], [n for n in listed if n not in found]


def _manifest(bag: Path) -> Manifest | None:
    try:
        return load_manifest(bag if bag.is_dir() else bag.parent)
    except InputError:
        return None


def _metadata(files: list[ExaminedFile], manifest: Manifest | None) -> tuple[dict[str, str], bool]:
    """What is known of the episode, and whether a CRC vouches for it."""
    records: dict[str, Metadata] = {}
    for file in files:
        records.update({r.name: r for r in file.found.metadata})
    plain = {
        key: value
        for name in (EPISODE_RECORD, CLOSE_RECORD)
        for key, value in (records[name].metadata if name in records else {}).items()
    }
    copy = next((f.copy for f in files if f.copy is not None), None)
    sure = all(f.about.data_crc == "right" for f in files)
    if copy is not None:
        known, sure = dict(copy.metadata), True
    elif (
        manifest is not None
        and not sure
        and plain.get("episode_id", manifest.episode_id) == (manifest.episode_id)
    ):
        known = dict(manifest.metadata)
    else:
        known = plain
    return {k: v for k, v in known.items() if k not in ("episode_id", "outcome")}, sure


def _episode_id(known: dict[str, str], manifest: Manifest | None, first: ExaminedFile) -> str:
    opened = next((r.metadata for r in first.found.metadata if r.name == EPISODE_RECORD), {})
    copied = "" if first.copy is None else first.copy.metadata.get("episode_id", "")
    given = copied or (manifest.episode_id if manifest else opened.get("episode_id", ""))
    for name in (given, first.source.path.stem):
        if _ID.fullmatch(name):
            return name
    return f"salvaged-{first.about.sha256[:12]}"


def _copy_file(
    file: ExaminedFile, writer: SalvageWriter, report: SalvageReport, episode_id: str
) -> str | None:
    """Copies one file's messages, attachments and metadata; the outcome that it tells."""
    source, found, schemas, channels = file.source, file.found, file.schemas, file.channels
    messages = file.messages()
    outcome: str | None = None
    for message in messages:
        writer.write(message)
        kind = "" if message.schema is None else message.schema.name
        topic = report.topics.setdefault(message.channel.topic, TopicReport(kind))
        topic.messages += 1
        topic.unverified += not message.checked
        report.messages += 1
        report.unverified += not message.checked
        outcome = outcome or _outcome(message, episode_id)
    for definition in channels.values():
        schema = schemas.get(definition.record.schema_id)
        writer.declare(definition.record, None if schema is None else schema.record)
        kind = "" if schema is None else schema.record.name
        report.topics.setdefault(definition.record.topic, TopicReport(kind))
    _copy_rest(source, found, writer)
    losses = merged([*found.losses, *messages.losses])
    report.lost += [LostRange(source.path.name, x.start, x.end, x.reason) for x in losses]
    report.lost_chunks += lost_chunks(source, found, losses, messages.kept_chunks, channels)
    totals = counted(found, channels)
    if len(report.files) == 1 and totals is not None:
        _count_lost(report, totals)
    return outcome


def _copy_rest(source: Source, found: Scan, writer: SalvageWriter) -> None:
    seen: set[tuple[str, bytes]] = set()
    for at in found.attachments:
        opcode, length = HEAD.unpack(source.read(at, HEAD.size))
        record = strict(opcode, source.read(at + HEAD.size, length))
        if not isinstance(record, Attachment) or (record.name, record.data) in seen:
            continue
        seen.add((record.name, record.data))
        if record.name != REPORT:
            writer.add_attachment(
                record.name, record.media_type, record.data, record.log_time, record.create_time
            )
    for metadata in found.metadata:
        if not metadata.name.startswith("vla_rl_nodes.") and metadata.name != "rosbag2":
            writer.add_metadata(metadata.name, metadata.metadata)


def _count_lost(report: SalvageReport, totals: dict[str, int]) -> None:
    for name, topic in report.topics.items():
        if name in totals:
            topic.lost = max(0, totals[name] - topic.messages)


def _outcome(message: Salvaged, episode_id: str) -> str | None:
    """The outcome of the episode, if this is the message that tells it."""
    kind = "" if message.schema is None else message.schema.name
    if not message.channel.topic.endswith(_STATE_TOPIC) or kind != _EVENT:
        return None
    try:
        event = decode(_EVENT, message.data, message.channel.topic)
    except InputError:
        return None
    for status in event.status:
        values = {entry.key: entry.value for entry in status.values}
        if values.get("episode_id") == episode_id and status.message in get_args(Outcome):
            return str(status.message)
    return None
