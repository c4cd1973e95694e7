"""A token that others could read, or guess, is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.operator.token_file import read_token

GOOD = b"0123456789abcdef0123456789abcdef"


def made(folder: Path, data: bytes, mode: int = 0o600) -> Path:
    path = folder / "token"
    path.write_bytes(data)
    path.chmod(mode)
    return path


def test_a_token_is_one_line(tmp_path: Path) -> None:
    assert read_token(made(tmp_path, GOOD + b"\n")) == GOOD


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644, 0o601])
def test_others_must_not_read_it(tmp_path: Path, mode: int) -> None:
    with pytest.raises(InputError, match="chmod 600"):
        read_token(made(tmp_path, GOOD, mode))


@pytest.mark.parametrize(
    "data",
    [b"", GOOD[:31], b" " * 64, GOOD + b"\n" + GOOD, GOOD + b" x", b"\xff" * 40, GOOD * 200],
)
def test_what_is_no_token(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(InputError, match="openssl rand"):
        read_token(made(tmp_path, data))


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_token(tmp_path / "none")
    with pytest.raises(InputError):
        read_token(tmp_path)
