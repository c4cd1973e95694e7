"""A folder, or a file, that appears whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vla_rl_nodes.bags.durable import sync_folder
from vla_rl_nodes.errors import InputError


@contextmanager
def appearing(target: Path) -> Iterator[Path]:
    """A temporary folder beside ``target`` that becomes it when the block ends without an error.

    Before it takes its name every file in it is on the disk. After an error it is removed.

    Args:
        target: must not exist; its parents are made.

    Raises:
        InputError: it exists, or cannot be written.
    """
    if os.path.lexists(target):
        raise InputError(target, "exists already", "remove it or choose another name")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=".exporting-", dir=target.parent))
        try:
            yield temporary
            _sync(temporary)
            temporary.chmod(0o755)
            if os.path.lexists(target):
                raise InputError(target, "appeared meanwhile", "choose another name")
            temporary.rename(target)
            sync_folder(target.parent)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        reason = (error.strerror or "input/output error").lower()
        raise InputError(
            target, f"cannot be written ({reason})", "free space or choose another folder"
        ) from error


def _sync(folder: Path) -> None:
    for parent, _, names in os.walk(folder, topdown=False):
        for name in names:
            descriptor = os.open(Path(parent) / name, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        sync_folder(Path(parent))
