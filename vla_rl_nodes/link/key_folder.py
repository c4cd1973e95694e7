"""The folder of ``vla-rl learner keys``: the authority, the learner's files, one folder a robot.

``ca.key`` signs whoever may speak: it belongs off the learner once all robots have their files.
"""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from vla_rl_nodes.bags.durable import sync_folder
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.link.keys import (
    Pair,
    fingerprint,
    load_certificate,
    new_authority,
    new_learner,
    new_robot,
    seconds_left,
)

CA_CERTIFICATE, CA_KEY = "ca.crt", "ca.key"
LEARNER, ROBOTS = "learner", "robots"


@dataclass(frozen=True)
class Made:
    """What one call has made.

    Attributes:
        folder: of the keys.
        authority_made: whether the authority is new.
        learner: folder of the learner's new files, None where they stayed.
        robots: of each robot that was named, the fingerprints that learner.yaml needs: the new
            certificate's, and before it those that it replaced and that have not expired.
    """

    folder: Path
    authority_made: bool
    learner: Path | None
    robots: dict[str, list[str]]


def make_keys(
    folder: Path, robots: Sequence[str], hosts: Sequence[str], days: float, renew: bool = False
) -> Made:
    """Makes an authority where there is none, the learner's files for hosts, and robots' folders.

    Args:
        folder: of the keys; private keys in it are readable by their owner only.
        robots: names; each gets ``robots/NAME/{robot.crt,robot.key,ca.crt}``, to be copied.
        hosts: by which robots call the learner; none keeps the certificate that it has.
        days: for which the certificates hold, at most as long as the authority's.
        renew: replace files that exist; the old ones are moved aside, named by fingerprint.

    Raises:
        InputError: something exists and is not to be renewed, a bad name, or a folder that
            cannot be read or written. Nothing is made then.
    """
    named = list(dict.fromkeys(robots))
    try:
        fresh = not (folder / CA_CERTIFICATE).exists() and not (folder / CA_KEY).exists()
        authority = new_authority() if fresh else _load_authority(folder)
        wanted: dict[Path, Pair] = {}
        if hosts or fresh:
            wanted[folder / LEARNER] = new_learner(authority, hosts, days)
        for name in named:
            wanted[folder / ROBOTS / name] = new_robot(authority, name, days)
        if not wanted:
            raise InputError("--robot", "is missing", "name a robot, or a host to renew")
        for place in wanted:
            if place.exists() and not renew:
                raise InputError(place, "is there already", "keep it, or give --renew")
        if fresh:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            _write(folder / CA_KEY, _private(authority.key), 0o600)
            _write(folder / CA_CERTIFICATE, _public(authority), 0o644)
            sync_folder(folder)
        for place, pair in wanted.items():
            _place(place, pair, authority)
    except OSError as error:
        reason = (error.strerror or "failed").lower()
        raise InputError(
            error.filename or folder, f"cannot be written ({reason})", "check the folder"
        ) from error
    listed = {name: _fingerprints(folder / ROBOTS, name) for name in named}
    learner = folder / LEARNER
    return Made(folder, fresh, learner if learner in wanted else None, listed)


def _place(place: Path, pair: Pair, authority: Pair) -> None:
    """The folder appears whole; one that was there keeps its files under another name."""
    stem = "learner" if place.name == LEARNER and place.parent.name != ROBOTS else "robot"
    place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = Path(tempfile.mkdtemp(prefix=".new-", dir=place.parent))
    try:
        _write(draft / f"{stem}.key", _private(pair.key), 0o600)
        _write(draft / f"{stem}.crt", _public(pair), 0o644)
        _write(draft / CA_CERTIFICATE, _public(authority), 0o644)
        if place.exists():
            old = load_certificate(place / f"{stem}.crt")
            place.rename(place.with_name(f".{place.name}~{fingerprint(old)[:16]}"))
        draft.rename(place)
        sync_folder(place.parent)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise


def _fingerprints(robots: Path, name: str) -> list[str]:
    old = [
        certificate
        for path in robots.glob(f".{name}~*/robot.crt")
        if seconds_left(certificate := load_certificate(path)) > 0
    ]
    old.sort(key=lambda certificate: certificate.not_valid_before_utc)
    return [fingerprint(c) for c in (*old[-3:], load_certificate(robots / name / "robot.crt"))]


def _load_authority(folder: Path) -> Pair:
    certificate = load_certificate(folder / CA_CERTIFICATE)
    path = folder / CA_KEY
    try:
        data, mode = path.read_bytes(), path.stat().st_mode
    except OSError as error:
        reason = (error.strerror or "unreadable").lower()
        raise InputError(
            path, f"cannot be read ({reason})", "bring the authority's key back for this"
        ) from error
    if stat.S_IMODE(mode) & 0o077:
        raise InputError(path, "can be read by other users", f"chmod 600 {path}")
    try:
        key = load_pem_private_key(data, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise InputError(path, "is no private key", "bring the authority's key back") from error
    if not isinstance(key, Ed25519PrivateKey) or key.public_key() != certificate.public_key():
        raise InputError(path, f"is not the key of {CA_CERTIFICATE}", "bring the right one back")
    if seconds_left(certificate) <= 0:
        raise InputError(
            folder / CA_CERTIFICATE, "has expired", "make a new authority in another folder"
        )
    return Pair(certificate, key)


def _private(key: Ed25519PrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _public(pair: Pair) -> bytes:
    return pair.certificate.public_bytes(Encoding.PEM)


def _write(path: Path, data: bytes, mode: int) -> None:
    # O_EXCL: nothing is ever overwritten, and the mode holds from the first byte.
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
