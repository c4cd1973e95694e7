"""One writer at a time: a lock that a process holds until it lets go or dies."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from vla_rl_nodes.bags.durable import sync_folder
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.replay.store import segments

JOURNAL = "journal.bin"
_LOCK = "writer.lock"


class WriterLock:
    """Makes the folder of a store where there is none, and keeps other writers out of it.

    Raises:
        InputError: another writer is at work, the folder holds something else, or it cannot be
            written.
    """

    def __init__(self, folder: Path) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if not (folder / JOURNAL).exists() and any(p.name != _LOCK for p in folder.iterdir()):
                raise InputError(folder, "is not empty and no store", "give another folder")
            self._file = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                self._take(folder)
                (folder / JOURNAL).touch()  # first: from here on the folder is a store
                (folder / segments.FOLDER).mkdir(exist_ok=True)
                sync_folder(folder)
                sync_folder(folder.parent)
            except BaseException:
                os.close(self._file)
                raise
        except OSError as error:
            reason = (error.strerror or "input/output error").lower()
            raise InputError(
                folder, f"cannot be written ({reason})", "check the folder"
            ) from error

    def release(self) -> None:
        """Lets another writer in. Once."""
        # Explicitly: processes that were forked meanwhile hold the file, too.
        fcntl.flock(self._file, fcntl.LOCK_UN)
        os.close(self._file)

    def _take(self, folder: Path) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InputError(
                folder,
                "is being written by another process",
                "wait for it, or open the store to be read",
            ) from error
