"""learner.sqlite3: which episodes are stored, what became of them, and what robots reported."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vla_rl_nodes.bags.manifest import Manifest
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.link.protocol import BundleReport

DATABASE = "learner.sqlite3"
CONTRACT_KEY = "contract_sha256"  # in a manifest's metadata
ROBOT_KEY, KIND_KEY = "robot_name", "robot"  # there too: its own name, and what kind it is
_LAYOUT = 1
_SCHEMA = """
CREATE TABLE episodes (
    robot TEXT NOT NULL, id TEXT NOT NULL, sha256 TEXT NOT NULL, size INTEGER NOT NULL,
    outcome TEXT NOT NULL, contract_sha256 TEXT NOT NULL, received_ns INTEGER NOT NULL,
    replay TEXT NOT NULL DEFAULT 'waiting' CHECK (replay IN ('waiting', 'done', 'refused')),
    reason TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (robot, id)
) STRICT, WITHOUT ROWID;
CREATE TABLE reports (
    robot TEXT NOT NULL, version TEXT NOT NULL, state TEXT NOT NULL, reason TEXT NOT NULL,
    stamp_ns INTEGER NOT NULL, received_ns INTEGER NOT NULL,
    UNIQUE (robot, version, state, reason, stamp_ns)
) STRICT;
"""
_EPISODE = "robot, id, sha256, size, outcome, contract_sha256, received_ns, replay, reason"
Replay = Literal["waiting", "done", "refused"]


def robot_of(metadata: Mapping[str, str]) -> str:
    """Who recorded an episode, from its manifest: the robot's own name, else the kind that it is.

    Empty where neither is said.
    """
    return metadata.get(ROBOT_KEY) or metadata.get(KIND_KEY, "")


@dataclass(frozen=True)
class Episode:
    """A stored episode; ``replay`` says whether it reached the episode store, and if not, why."""

    robot: str
    id: str
    sha256: str
    size: int
    outcome: str
    contract_sha256: str
    received_ns: int
    replay: Replay
    reason: str


@dataclass(frozen=True)
class Report:
    """What a robot said of a bundle; times are nanoseconds since 1970."""

    robot: str
    version: str
    state: str
    reason: str
    stamp_ns: int
    received_ns: int


class Records:
    """The database of a learner's folder; every change is on the disk when its call returns.

    It belongs to the thread that opened it. Several processes may have it open.

    Args:
        folder: the learner's; made when it does not exist.

    Raises:
        InputError: it cannot be opened, is damaged, or is of another version.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / DATABASE
        with self._told():
            folder.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(self.path, timeout=30.0, isolation_level=None)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            self._prepare()

    def _prepare(self) -> None:
        with self._change():
            layout = self._db.execute("PRAGMA user_version").fetchone()[0]
            if layout == 0:
                for statement in filter(str.strip, _SCHEMA.split(";")):
                    self._db.execute(statement)
                self._db.execute(f"PRAGMA user_version={_LAYOUT}")
            elif layout != _LAYOUT:
                raise InputError(
                    self.path,
                    f"has layout {layout}, not {_LAYOUT}",
                    "use the version that made it",
                )

    def close(self) -> None:
        """Closes the database."""
        self._db.close()

    def episode(self, robot: str, episode_id: str) -> Episode | None:
        """A stored episode; None where it is not stored."""
        found = self._select("WHERE robot = ? AND id = ?", robot, episode_id)
        return found[0] if found else None

    def episodes(self) -> list[Episode]:
        """All, in the order in which they came."""
        return self._select("")

    def waiting(self) -> list[Episode]:
        """Those that have not reached the episode store and were not refused by it."""
        return self._select("WHERE replay = 'waiting'")

    def used(self, robot: str) -> int:
        """Bytes of a robot's stored episodes."""
        with self._told():
            query = "SELECT coalesce(sum(size), 0) FROM episodes WHERE robot = ?"
            return int(self._db.execute(query, (robot,)).fetchone()[0])

    def add(self, robot: str, manifest: Manifest) -> None:
        """Commits an episode whose file is durable under its final name."""
        row = (
            robot, manifest.episode_id, manifest.sha256, manifest.size, manifest.outcome,
            manifest.metadata[CONTRACT_KEY], time.time_ns(),
        )  # fmt: skip
        with self._told(), self._change():
            self._db.execute(
                "INSERT INTO episodes (robot, id, sha256, size, outcome, contract_sha256,"
                " received_ns) VALUES (?, ?, ?, ?, ?, ?, ?)",
                row,
            )

    def settle(self, robot: str, episode_id: str, replay: Replay, reason: str = "") -> None:
        """Notes what became of an episode on its way to the episode store."""
        with self._told(), self._change():
            self._db.execute(
                "UPDATE episodes SET replay = ?, reason = ? WHERE robot = ? AND id = ?",
                (replay, reason, robot, episode_id),
            )

    def report(self, robot: str, version: str, report: BundleReport) -> bool:
        """Notes a robot's report; False where it was known already."""
        row = (robot, version, report.state, report.reason, report.stamp_ns, time.time_ns())
        with self._told(), self._change():
            done = self._db.execute("INSERT OR IGNORE INTO reports VALUES (?, ?, ?, ?, ?, ?)", row)
            return done.rowcount == 1

    def reports(self) -> list[Report]:
        """All, in the order in which they came."""
        with self._told():
            return [
                Report(*row) for row in self._db.execute("SELECT * FROM reports ORDER BY rowid")
            ]

    def _select(self, where: str, *values: str) -> list[Episode]:
        query = f"SELECT {_EPISODE} FROM episodes {where} ORDER BY received_ns, robot, id"
        with self._told():
            return [Episode(*row) for row in self._db.execute(query, values)]

    @contextmanager
    def _change(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            said = (getattr(error, "strerror", None) or str(error)).lower()
            raise InputError(
                self.path, f"cannot be used ({said})", "free space, or restore it from a copy"
            ) from error
