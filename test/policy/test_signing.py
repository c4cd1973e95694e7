"""Keys are private, never overwritten, and only their own signature over the same bytes passes."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.policy.signing import (
    create_key,
    default_key_path,
    key_id,
    load_key,
    load_public_key,
    signature_line,
    verify,
)


def test_private_key_is_readable_by_its_owner_only(key_path: Path) -> None:
    assert stat.S_IMODE(key_path.stat().st_mode) == 0o600


def test_an_existing_key_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    create_key(path)
    before = path.read_bytes()
    with pytest.raises(InputError, match="is there already"):
        create_key(path)
    assert path.read_bytes() == before


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    create_key(path)
    path.chmod(0o644)
    with pytest.raises(InputError, match="can be read by other users"):
        load_key(path)


def test_default_place_is_the_users_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", "/somewhere/config")
    assert default_key_path() == Path("/somewhere/config/vla_rl_nodes/bundle_key.pem")
    monkeypatch.delenv("XDG_CONFIG_HOME")
    monkeypatch.setenv("HOME", "/home/person")
    assert default_key_path() == Path("/home/person/.config/vla_rl_nodes/bundle_key.pem")


def test_public_key_as_hex_and_as_pem_is_the_same(key_path: Path, tmp_path: Path) -> None:
    key = load_key(key_path).public_key()
    pem = tmp_path / "key.pub"
    pem.write_bytes(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    assert key_id(load_public_key(pem)) == key_id(load_public_key(key_path.with_suffix(".pub")))


def test_signature_passes_for_any_trusted_key_and_no_other(
    key_path: Path, trusted: list[Path], tmp_path: Path
) -> None:
    other = create_key(tmp_path / "other.pem")
    line = signature_line(load_key(key_path), b"message")
    assert verify("sig", b"message", line, [other, *trusted]) == line.split()[1].decode()
    with pytest.raises(InputError, match="which is not trusted"):
        verify("sig", b"message", line, [other])
    with pytest.raises(InputError, match="no key is trusted"):
        verify("sig", b"message", line, [])
    with pytest.raises(InputError, match="does not fit the manifest"):
        verify("sig", b"massage", line, trusted)


def test_a_signature_that_claims_a_trusted_key_is_still_checked(
    trusted: list[Path], tmp_path: Path
) -> None:
    create_key(tmp_path / "forger.pem")
    forged = signature_line(load_key(tmp_path / "forger.pem"), b"message").split()
    forged[1] = key_id(load_public_key(trusted[0])).encode()
    with pytest.raises(InputError, match="does not fit the manifest"):
        verify("sig", b"message", b" ".join(forged) + b"\n", trusted)


@pytest.mark.parametrize(
    "content", [b"", b"00" * 31, b"zz" * 32, b"-----BEGIN PUBLIC KEY-----\n", b"a" * 5000]
)
def test_what_is_no_public_key_is_refused_in_one_line(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "bad.pub"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        load_public_key(path)
    assert "\n" not in str(caught.value) and "bad.pub" in str(caught.value)


def test_keys_of_another_kind_are_refused(tmp_path: Path) -> None:
    curve = generate_private_key(SECP256R1())
    private, public = tmp_path / "ec.pem", tmp_path / "ec.pub"
    private.write_bytes(curve.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    private.chmod(0o600)
    public.write_bytes(
        curve.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    with pytest.raises(InputError, match="no Ed25519 key"):
        load_key(private)
    with pytest.raises(InputError, match="no Ed25519 public key"):
        load_public_key(public)
