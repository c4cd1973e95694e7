"""Is what the learner holds what the robots recorded: read from its files, not asked of it."""

from __future__ import annotations

import hashlib
import shutil
import sqlite3
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from vla_rl_nodes.bags.manifest import MANIFEST, Manifest
from vla_rl_nodes.link.records import DATABASE

_BLOCK = 1 << 20


@dataclass
class Sent:
    """What the robots have recorded: manifests by (robot, id), and the bags never closed."""

    closed: dict[tuple[str, str], Manifest] = field(default_factory=dict)
    unclosed: set[tuple[str, str]] = field(default_factory=set)


@dataclass(frozen=True)
class Verdict:
    """What is wrong, as lines, and the counts behind it."""

    stored: int
    lost: int
    duplicated: int
    partial: int
    faults: tuple[str, ...]


def rows(learner: Path) -> list[tuple[str, str, str, int]]:
    """(robot, id, sha256, size) of the learner's database as it lies on the disk.

    It is copied first, so that looking at what a killed learner left changes nothing of it. A
    copy of one that is being written may be torn: it then has no rows.
    """
    if not (learner / DATABASE).exists():
        return []
    with tempfile.TemporaryDirectory(prefix="link_bench_") as name:
        for suffix in ("", "-wal"):
            source = learner / (DATABASE + suffix)
            if source.exists():
                shutil.copyfile(source, Path(name) / (DATABASE + suffix))
        database = sqlite3.connect(Path(name) / DATABASE)
        try:
            tables = {row[0] for row in database.execute("SELECT name FROM sqlite_schema")}
            if "episodes" not in tables:
                return []
            return database.execute("SELECT robot, id, sha256, size FROM episodes").fetchall()
        except sqlite3.DatabaseError:
            return []
        finally:
            database.close()


def deleted_too_early(sent: Sent, bags: dict[str, Path], learner: Path) -> list[str]:
    """Episodes that are gone from their robot and not stored; for a learner that is not running.

    Args:
        sent: what was recorded.
        bags: of each robot.
        learner: its folder.
    """
    gone = {
        (robot, name): manifest
        for (robot, name), manifest in sent.closed.items()
        if not (bags[robot] / name / MANIFEST).exists()
    }
    stored = {(robot, name): (sha256, size) for robot, name, sha256, size in rows(learner)}
    faults = []
    for (robot, name), manifest in gone.items():
        blob = learner / "episodes" / robot / name / manifest.file
        if stored.get((robot, name)) != (manifest.sha256, manifest.size):
            faults.append(f"{robot}: {name} was deleted and has no row")
        elif not blob.exists() or blob.stat().st_size != manifest.size:
            faults.append(f"{robot}: {name} was deleted and its file is not whole")
    return faults


def judge(sent: Sent, learner: Path) -> Verdict:
    """Counts every row and every file of a learner that has ended, and hashes the files."""
    faults: list[str] = []
    found = rows(learner)
    by_key = Counter((robot, name) for robot, name, _, _ in found)
    by_hash = Counter(sha256 for _, _, sha256, _ in found)
    stored = lost = 0
    for (robot, name), manifest in sorted(sent.closed.items()):
        row = next((r for r in found if r[:2] == (robot, name)), None)
        folder = learner / "episodes" / robot / name
        blob = folder / manifest.file
        if row is None:
            lost += 1
            faults.append(f"{robot}: {name} has no row")
        elif row[2:] != (manifest.sha256, manifest.size):
            lost += 1
            faults.append(f"{robot}: {name} has a row of another file")
        elif not blob.is_file() or sha256_of(blob) != manifest.sha256:
            lost += 1
            faults.append(f"{robot}: the file of {name} is not the one that was sent")
        elif Manifest.model_validate_json((folder / MANIFEST).read_bytes()) != manifest:
            lost += 1
            faults.append(f"{robot}: {name} has another manifest")
        else:
            stored += 1
    duplicated = sum(count - 1 for count in by_key.values())
    duplicated += sum(count - 1 for count in by_hash.values())
    files = {
        (path.parent.parent.name, path.parent.name, path.name)
        for path in (learner / "episodes").glob("*/*/*.mcap")
    }
    expected = {(robot, name, m.file) for (robot, name), m in sent.closed.items()}
    for extra in sorted(files - expected):
        duplicated += 1
        faults.append(f"{'/'.join(extra)} is a file that nobody sent")
    for robot, name, *_ in found:
        if (robot, name) not in sent.closed:
            faults.append(f"{robot}: {name} has a row and was never closed")
    partial = sorted(
        path.relative_to(learner) for path in (learner / "incoming").rglob("*") if path.is_file()
    )
    faults += [f"{path} is left of an upload" for path in partial]
    return Verdict(stored, lost, duplicated, len(partial), tuple(faults))


def sha256_of(path: Path) -> str:
    """Of a file, in hex."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
