"""Files that must be their owner's alone."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from remote.certificates import certificate

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.operator.page_settings import Tls
from vla_rl_nodes.operator.secret_file import opened_secret
from vla_rl_nodes.operator.tls import tls_context
from vla_rl_nodes.operator.token_file import read_token


def test_it_is_open_as_long_as_it_is_used(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_bytes(b"x")
    file.chmod(0o400)
    with opened_secret(file, "make one") as descriptor:
        assert os.read(descriptor, 9) == b"x" and not os.get_inheritable(descriptor)
    with pytest.raises(OSError):
        os.fstat(descriptor)


def test_a_pipe_keeps_nobody_waiting(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe, 0o600)
    with pytest.raises(InputError, match="is no file"):
        read_token(pipe)
    public, _ = certificate(tmp_path)
    with pytest.raises(InputError, match="pipe: is no file"):
        tls_context(Tls(certificate=public, key=pipe))


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o602])
def test_a_key_that_others_can_use(tmp_path: Path, mode: int) -> None:
    public, _ = certificate(tmp_path)
    files = Tls(certificate=public, key=tmp_path / "key.pem")
    files.key.chmod(mode)
    with pytest.raises(InputError, match="chmod 600"):
        tls_context(files)
    files.key.chmod(0o600)
    assert tls_context(files).cert_store_stats()["x509"] == 0
