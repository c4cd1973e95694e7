"""What the robot knows of each episode on its way to the learner, and what may be deleted."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from vla_rl_nodes.bags.manifest import Manifest
from vla_rl_nodes.closable import Closable
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.link.robot_database import Reserve, database_error, open_database

REMEMBERED = 10_000  # deleted episodes of which the ledger still tells


class State(StrEnum):
    """Where an episode stands. It is deleted from ``STORED`` and from nowhere else."""

    SEEN = "seen"  # closed, on this disk
    OFFERED = "offered"  # the learner has its manifest
    SENDING = "sending"  # some of it is there
    STORED = "stored"  # the learner has said so, with the right hash
    DELETED = "deleted"  # not on this disk any more
    GONE = "gone"  # somebody has taken it away before it was stored


class WrongCopyError(InputError):
    """What the learner has stored, or what lies here, is not the file of the manifest."""


WAITING = (State.SEEN, State.OFFERED, State.SENDING)


@dataclass(frozen=True)
class Entry:
    """A row.

    Attributes:
        id: of the episode.
        folder: name of the bag's folder.
        sha256: of the whole file, hex.
        size: of the file, bytes.
        ended_ns: log time of the last message.
        state: where it stands.
        sent: bytes that the learner has.
        reason: why it waits; empty while nothing is in its way.
    """

    id: str
    folder: str
    sha256: str
    size: int
    ended_ns: int
    state: State
    sent: int
    reason: str


@dataclass(frozen=True)
class Totals:
    """Sums over the ledger: episodes and bytes that wait and that are stored but still here, how
    many of those that wait were held, and the oldest that waits (log time, 0 for none)."""

    waiting: int
    waiting_bytes: int
    held: int
    oldest_ns: int
    stored: int
    stored_bytes: int


_COLUMNS = "id, folder, sha256, size, ended_ns, state, sent, reason"
_IS_WAITING = "state IN ('seen', 'offered', 'sending')"


class Ledger(Closable):
    """Rows in SQLite; every change is on the disk when its method returns. For one thread.

    Args:
        path: of the file.

    Raises:
        InputError: it cannot be used. From every method too, when the disk fails.

    Attributes:
        path: of the file.
        database: the connection, which other rows share.
        repaired: one line when a damaged file was replaced, else empty.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.database, self.repaired = open_database(path)
        self._reserve = Reserve(path)
        self._reserve.take()

    def found(self, folder: str, manifest: Manifest) -> str:
        """A closed episode lies in a folder.

        Returns:
            Why it cannot be sent from there, or an empty text.
        """
        known = self.entry(manifest.episode_id)
        if (
            known is not None
            and known.folder != folder
            and known.state in (*WAITING, State.STORED)
        ):
            return (
                f"{folder}: holds episode {known.id}, as {known.folder} does; remove one of them"
            )
        mark = (manifest.sha256, manifest.size, manifest.end_ns)
        same = known is not None and (known.sha256, known.size) == mark[:2]
        if known is not None and same and known.state in (*WAITING, State.STORED):
            return ""
        # New, or back on this disk, or another file under the same name: what the learner said
        # of the last one does not count for it.
        self._change(
            "INSERT INTO episodes (id, folder, sha256, size, ended_ns, state)"
            " VALUES (?, ?, ?, ?, ?, 'seen') ON CONFLICT (id) DO UPDATE SET"
            " folder = excluded.folder, sha256 = excluded.sha256, size = excluded.size,"
            " ended_ns = excluded.ended_ns, state = 'seen', sent = 0, reason = '', stored_ns = 0",
            manifest.episode_id, folder, *mark,
        )  # fmt: skip
        return ""

    def missing(self, folders: set[str]) -> list[str]:
        """Marks the episodes whose folder is gone; returns those that were not stored."""
        lost: list[str] = []
        for entry in list(self._entries(f"{_IS_WAITING} OR state = 'stored'")):
            if entry.folder not in folders:
                stored = entry.state is State.STORED
                to = State.DELETED if stored else State.GONE
                self._move(entry.id, (entry.state,), to)
                if not stored:
                    lost.append(entry.id)
        return lost

    def next(self, newest_first: bool, resting: Collection[str] = ()) -> Entry | None:
        """The episode to be sent next, by the time of its end; none of those that rest."""
        order = "DESC" if newest_first else "ASC"
        for entry in self._entries(f"{_IS_WAITING} ORDER BY ended_ns {order}, id"):
            if entry.id not in resting:
                return entry
        return None

    def stored(self) -> list[Entry]:
        """The episodes that are stored and still on this disk, those first that were stored
        first."""
        return list(self._entries("state = 'stored' ORDER BY stored_ns, id"))

    def entry(self, episode_id: str) -> Entry | None:
        """The row of an episode."""
        return next(self._entries("id = ?", episode_id), None)

    def open_at(self, entry: Entry, offset: int) -> None:
        """The learner has so many bytes of an episode that it accepts."""
        state = State.SENDING if offset else State.OFFERED
        self._move(entry.id, WAITING, state, sent=offset)

    def hold(self, entry: Entry, reason: str) -> None:
        """An episode waits for a reason."""
        self._change("UPDATE episodes SET reason = ? WHERE id = ?", reason, entry.id)

    def acknowledge(self, entry: Entry, sha256: str, size: int) -> None:
        """The learner has said that an episode is stored.

        Raises:
            WrongCopyError: what it has stored is not this file; the row stays as it is.
        """
        if (sha256, size) != (entry.sha256, entry.size):
            raise WrongCopyError(
                f"episode {entry.id}",
                f"is stored at the learner as {size} bytes with sha256 {sha256[:12]}, here it has"
                f" {entry.size} bytes with {entry.sha256[:12]}",
                "compare the two; it is kept here",
            )
        self._move(entry.id, WAITING, State.STORED, sent=size, stored_ns=time.time_ns())

    def deleted(self, entry: Entry) -> None:
        """The bag of a stored episode is no longer on this disk."""
        self._move(entry.id, (State.STORED,), State.DELETED)
        self._change(
            "DELETE FROM episodes WHERE state = 'deleted' AND id NOT IN (SELECT id FROM episodes"
            " WHERE state = 'deleted' ORDER BY stored_ns DESC LIMIT ?)",
            REMEMBERED,
        )

    def totals(self) -> Totals:
        """Counts and sums."""
        row = self._ask(
            f"SELECT total({_IS_WAITING}), total(size * ({_IS_WAITING})),"
            f" total({_IS_WAITING} AND reason <> ''),"
            f" min(CASE WHEN {_IS_WAITING} THEN ended_ns END),"
            " total(state = 'stored'), total(size * (state = 'stored')) FROM episodes"
            f" WHERE {_IS_WAITING} OR state = 'stored'"
        )[0]
        return Totals(*(int(value or 0) for value in row))

    def tell_once(self, folder: str, line: str) -> bool:
        """Whether a line about a folder is new; it is remembered, also beyond a restart."""
        if self._ask("SELECT 1 FROM told WHERE folder = ? AND line = ?", folder, line):
            return False
        self._change("INSERT OR REPLACE INTO told (folder, line) VALUES (?, ?)", folder, line)
        return True

    def close(self) -> None:
        """Closes the file."""
        self.database.close()

    def _move(
        self, episode_id: str, from_states: tuple[State, ...], to: State, **values: int
    ) -> None:
        held = ", ".join("?" for _ in from_states)
        sets = "".join(f", {name} = ?" for name in values)
        moved = self._change(
            f"UPDATE episodes SET state = ?, reason = ''{sets} WHERE id = ? AND state IN ({held})",
            to.value, *values.values(), episode_id, *from_states,
        )  # fmt: skip
        if moved != 1:
            raise ValueError(f"episode {episode_id} cannot become {to.value} from where it is")

    def _entries(self, where: str, *values: object) -> Iterator[Entry]:
        try:
            for row in self.database.execute(
                f"SELECT {_COLUMNS} FROM episodes WHERE {where}", values
            ):
                name, folder, sha256, size, ended_ns, state, sent, reason = row
                yield Entry(name, folder, sha256, size, ended_ns, State(state), sent, reason)
        except sqlite3.Error as error:
            raise database_error(self.path, error) from error

    def _ask(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        try:
            return self.database.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            raise database_error(self.path, error) from error

    def _change(self, statement: str, *values: object) -> int:
        """Autocommit: with synchronous = FULL the change is on the disk when this returns."""
        while True:
            try:
                return self.database.execute(statement, values).rowcount
            except sqlite3.Error as error:
                if not self._reserve.give(error):
                    raise database_error(self.path, error) from error
