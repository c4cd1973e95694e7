"""The page's token: a secret line in a file that its owner alone can read."""

from __future__ import annotations

import os
from pathlib import Path

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.operator.secret_file import opened_secret

SHORTEST = 32
LARGEST_FILE = 4096
REMEDY = "make one with: openssl rand -hex 32"


def read_token(path: Path) -> bytes:
    """The token in a file.

    Raises:
        InputError: it cannot be read, others can read it too, or it is no token.
    """
    with opened_secret(path, REMEDY) as file:
        data = os.read(file, LARGEST_FILE + 1)
    token = data.strip()
    if len(data) > LARGEST_FILE or len(token) < SHORTEST:
        raise InputError(
            path, f"holds no token of {SHORTEST} to {LARGEST_FILE} characters",
            REMEDY,
        )  # fmt: skip
    if any(not 0x21 <= byte <= 0x7E for byte in token):
        raise InputError(
            path, "holds more than one line of plain characters",
            REMEDY,
        )  # fmt: skip
    return token
