"""A file that its owner alone can use: a token, or a key."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vla_rl_nodes.errors import InputError


@contextmanager
def opened_secret(path: Path, remedy: str) -> Iterator[int]:
    """Opens it, and shuts it again; what was looked at is what is read.

    Args:
        path: of the file.
        remedy: where there is none.

    Returns:
        Its descriptor.

    Raises:
        InputError: it cannot be opened, is no file, or others can use it too.
    """
    try:
        # A pipe would keep whoever opens it waiting for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise InputError(path, (error.strerror or "cannot be read").lower(), remedy) from error
    try:
        about = os.fstat(descriptor)
        if not stat.S_ISREG(about.st_mode):
            raise InputError(path, "is no file", "name the file itself")
        if about.st_mode & 0o077:
            raise InputError(
                path, f"can be used by others (mode {stat.S_IMODE(about.st_mode):04o})",
                f"run: chmod 600 {path}",
            )  # fmt: skip
        if about.st_uid not in (os.geteuid(), 0):
            raise InputError(path, "belongs to somebody else", "make a file of your own")
        yield descriptor
    finally:
        os.close(descriptor)
