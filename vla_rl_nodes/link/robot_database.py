"""The robot's SQLite file: durable, and replaced by a new one when it is damaged."""

from __future__ import annotations

import os
import sqlite3
from contextlib import suppress
from pathlib import Path

from vla_rl_nodes.bags.durable import sync_folder
from vla_rl_nodes.errors import InputError

VERSION = 1
_RESERVE_BYTES = 1 << 20
_SCHEMA = """
CREATE TABLE episodes (
    id TEXT PRIMARY KEY,
    folder TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    size INTEGER NOT NULL,
    ended_ns INTEGER NOT NULL,
    state TEXT NOT NULL,
    sent INTEGER NOT NULL DEFAULT 0,
    reason TEXT NOT NULL DEFAULT '',
    stored_ns INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX episodes_by_state ON episodes (state, ended_ns);
CREATE TABLE told (folder TEXT PRIMARY KEY, line TEXT NOT NULL) STRICT;
CREATE TABLE bundles (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    version TEXT NOT NULL UNIQUE,
    sha256 TEXT NOT NULL,
    state TEXT NOT NULL,
    reason TEXT NOT NULL
) STRICT;
CREATE TABLE reports (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    version TEXT NOT NULL,
    state TEXT NOT NULL,
    reason TEXT NOT NULL,
    stamp_ns INTEGER NOT NULL
) STRICT;
"""
_TABLES = {"episodes", "told", "bundles", "reports"}


def open_database(path: Path) -> tuple[sqlite3.Connection, str]:
    """Opens or makes the file; one that is damaged is kept beside it under another name.

    Nothing is lost with it: which episodes are closed stands in the bags, and which of them are
    stored the learner says again.

    Returns:
        The connection, in autocommit mode, and one line where a damaged file was replaced.

    Raises:
        InputError: the file can be neither opened nor made, or another process holds it.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            return _opened(path), ""
        except sqlite3.DatabaseError as error:
            if _of_the_system(error):
                raise
            aside = _move_aside(path)
            line = f"{path}: is damaged ({_short(error)}); kept as {aside.name} and made anew"
            return _opened(path), line
    except sqlite3.Error as error:
        raise database_error(path, error) from error
    except OSError as error:
        reason = (error.strerror or "unwritable").lower()
        raise InputError(path, f"cannot be made ({reason})", "check the folder") from error


class Reserve:
    """Room on the disk for the ledger alone: on a full disk no acknowledgement could be written
    down otherwise, and so nothing could be deleted that would make room again.

    Args:
        database: file beside which it lies.
    """

    def __init__(self, database: Path) -> None:
        self._path = database.with_name(f"{database.name}.reserve")

    def take(self) -> None:
        """Takes the room, unless there is none: the ledger may still fit."""
        with suppress(OSError), self._path.open("ab") as file:
            os.posix_fallocate(file.fileno(), 0, _RESERVE_BYTES)

    def give(self, error: sqlite3.Error) -> bool:
        """Gives the room back when the disk is full; whether that may have helped."""
        if (getattr(error, "sqlite_errorcode", 0) & 0xFF) != sqlite3.SQLITE_FULL:
            return False
        try:
            self._path.unlink()
        except OSError:
            return False
        return True


def database_error(path: Path, error: sqlite3.Error) -> InputError:
    """What SQLite met, as one line."""
    if "locked" in str(error):
        return InputError(path, "is in use by another process", "run one bridge for each robot")
    remedy = (
        "free space, check the folder" if _of_the_system(error)
        else "restart the bridge, which makes it anew"
    )  # fmt: skip
    return InputError(path, f"cannot be used ({_short(error)})", remedy)


def _opened(path: Path) -> sqlite3.Connection:
    # Used by one thread at a time, though not always by the one that opened it.
    connection = sqlite3.connect(path, timeout=0.5, isolation_level=None, check_same_thread=False)
    try:
        # Held from the first statement on: two bridges on one ledger would undo each other.
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_schema")}
        if (version, tables >= _TABLES) != (VERSION, True) and (version or tables):
            raise sqlite3.DatabaseError(f"version {version} of its tables is not {VERSION}")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        if not tables:
            connection.executescript(
                f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA user_version = {VERSION}; COMMIT;"
            )
            sync_folder(path.parent)
        else:
            connection.execute("BEGIN IMMEDIATE")  # takes the lock, or says who has it
            connection.execute("COMMIT")
        found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if found != "ok":
            raise sqlite3.DatabaseError(found)
    except BaseException:
        connection.close()
        raise
    return connection


def _of_the_system(error: sqlite3.Error) -> bool:
    """Whether the disk or another process is to blame, and not the file's content."""
    blamed = (
        sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_NOMEM,
    )  # fmt: skip
    return (getattr(error, "sqlite_errorcode", 0) & 0xFF) in blamed


def _move_aside(path: Path) -> Path:
    number = 1
    while (aside := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    for suffix in ("-wal", "-shm", ""):  # the file itself last: a kill in between is damage again
        part = path.with_name(path.name + suffix)
        if part.exists():
            os.replace(part, aside.with_name(aside.name + suffix))
    sync_folder(path.parent)
    return aside


def _short(error: sqlite3.Error) -> str:
    return " ".join(str(error).lower().split())[:120]
