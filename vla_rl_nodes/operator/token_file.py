"""The page's token: a secret line in a file that its owner alone can read."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from vla_rl_nodes.errors import InputError

SHORTEST = 32
LARGEST_FILE = 4096


def read_token(path: Path) -> bytes:
    """The token in a file.

    Raises:
        InputError: it cannot be read, others can read it too, or it is no token.
    """
    try:
        with path.open("rb") as file:
            about = os.fstat(file.fileno())
            if not stat.S_ISREG(about.st_mode):
                raise InputError(path, "is no file", "name the token's file")
            if about.st_mode & 0o077:
                raise InputError(
                    path, f"can be used by others (mode {stat.S_IMODE(about.st_mode):04o})",
                    f"run: chmod 600 {path}",
                )  # fmt: skip
            if about.st_uid not in (os.geteuid(), 0):
                raise InputError(path, "belongs to somebody else", "make a file of your own")
            data = file.read(LARGEST_FILE + 1)
    except OSError as error:
        reason = (error.strerror or "cannot be read").lower()
        raise InputError(path, reason, "make one with: openssl rand -hex 32") from error
    token = data.strip()
    if len(data) > LARGEST_FILE or len(token) < SHORTEST:
        raise InputError(
            path, f"holds no token of {SHORTEST} to {LARGEST_FILE} characters",
            "make one with: openssl rand -hex 32",
        )  # fmt: skip
    if any(not 0x21 <= byte <= 0x7E for byte in token):
        raise InputError(
            path, "holds more than one line of plain characters",
            "make one with: openssl rand -hex 32",
        )  # fmt: skip
    return token
