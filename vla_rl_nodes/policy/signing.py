"""Ed25519 keys and signatures (RFC 8032) that say whose bundle may run on a robot."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Sequence
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from vla_rl_nodes.errors import InputError

LARGEST_KEY_FILE = 4096
_SIGNATURE_LINE = re.compile(rb"ed25519 ([0-9a-f]{16}) ([0-9a-f]{128})\n")
_RAW_HEX = re.compile(rb"\s*([0-9a-fA-F]{64})\s*")


def default_key_path() -> Path:
    """Where this user's signing key lives: the XDG configuration folder, never a repository."""
    base = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(base) / "vla_rl_nodes" / "bundle_key.pem"


def public_path(key_path: Path) -> Path:
    """The public half's file, beside the private one: ``bundle_key.pem`` -> ``bundle_key.pub``."""
    return key_path.with_suffix(".pub")


def create_key(path: Path) -> Path:
    """Makes a key pair: the private key at ``path`` with mode 0600, the public one as ``.pub``.

    Returns:
        The path of the public file, raw hex, to be listed on the robots that shall trust it.

    Raises:
        InputError: a key is there already, or the folder cannot be written.
    """
    key = Ed25519PrivateKey.generate()
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    public = public_path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # O_EXCL: an existing key is never overwritten, and the mode holds from the first byte.
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(secret)
        public.write_text(_raw(key.public_key()).hex() + "\n", encoding="ascii")
    except FileExistsError as error:
        raise InputError(path, "is there already", "keep it or name another file") from error
    except OSError as error:
        raise _unreadable(path, error, "written") from error
    return public


def load_key(path: Path) -> Ed25519PrivateKey:
    """The private key in a PEM file.

    Raises:
        InputError: missing, readable by others than its owner, or no unencrypted Ed25519 key.
    """
    data = _read(path)
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise InputError(path, "can be read by other users", f"chmod 600 {path}")
    try:
        key = load_pem_private_key(data, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise InputError(path, "is no unencrypted PEM key", "make one with create_key") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise InputError(path, "is no Ed25519 key", "make one with create_key")
    return key


def load_public_key(path: Path) -> Ed25519PublicKey:
    """A trusted public key: 64 hex digits, or PEM.

    Raises:
        InputError: missing, or neither of the two.
    """
    data = _read(path)
    raw = _RAW_HEX.fullmatch(data)
    try:
        if raw is not None:
            return Ed25519PublicKey.from_public_bytes(bytes.fromhex(raw.group(1).decode()))
        key = load_pem_public_key(data)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise InputError(path, "is no public key", "give 64 hex digits or PEM") from error
    if not isinstance(key, Ed25519PublicKey):
        raise InputError(path, "is no Ed25519 public key", "give the .pub file of create_key")
    return key


def key_id(key: Ed25519PublicKey) -> str:
    """First 16 hex digits of the SHA-256 of the raw public key: how a key is named in reports."""
    return hashlib.sha256(_raw(key)).hexdigest()[:16]


def signature_line(key: Ed25519PrivateKey, message: bytes) -> bytes:
    """The content of ``manifest.sig``: ``ed25519 <key id> <signature>`` in hex, one line."""
    signature = key.sign(message).hex()
    return f"ed25519 {key_id(key.public_key())} {signature}\n".encode("ascii")


def verify(place: object, message: bytes, line: bytes, trusted_keys: Sequence[Path]) -> str:
    """Checks a signature line against the trusted keys.

    Returns:
        The id of the key that signed.

    Raises:
        InputError: no key is trusted, the line is malformed, its key is not trusted, or the
            message is not what was signed.
    """
    if not trusted_keys:
        raise InputError(place, "no key is trusted", "name the .pub file of its maker")
    match = _SIGNATURE_LINE.fullmatch(line)
    if match is None:
        raise InputError(place, "holds no signature line", "sign the bundle again")
    claimed, signature = match.group(1).decode(), bytes.fromhex(match.group(2).decode())
    keys = {key_id(key): key for key in map(load_public_key, trusted_keys)}
    if claimed not in keys:
        raise InputError(
            place,
            f"is signed by key {claimed}, which is not trusted",
            "trust its .pub file or take another bundle",
        )
    try:
        keys[claimed].verify(signature, message)
    except InvalidSignature as error:
        raise InputError(
            place, "does not fit the manifest", "fetch the bundle again; it was changed"
        ) from error
    return claimed


def _raw(key: Ed25519PublicKey) -> bytes:
    return key.public_bytes(Encoding.Raw, PublicFormat.Raw)


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST_KEY_FILE + 1)
    except OSError as error:
        raise _unreadable(path, error, "read") from error
    if len(data) > LARGEST_KEY_FILE:
        raise InputError(path, "is too large for a key", "give a key file")
    return data


def _unreadable(path: Path, error: OSError, what: str) -> InputError:
    reason = (error.strerror or "failed").lower()
    return InputError(path, f"cannot be {what} ({reason})", "check the path")
