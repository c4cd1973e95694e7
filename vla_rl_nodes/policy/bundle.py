"""A policy bundle: a folder of policy.onnx, its recipe, manifest.json and manifest.sig.

Whoever can put a file on the robot could make it move, so nothing in a bundle is used before the
signature over the manifest and the hashes in it have been checked, and what was checked is what
runs: the files are read once and kept in memory.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.policy.manifest import (
    FileMark,
    Flow,
    Manifest,
    Outcome,
    Training,
    check_contract,
    manifest_bytes,
    parse_manifest,
    specification,
    version,
)
from vla_rl_nodes.policy.signing import signature_line, verify

MODEL = "policy.onnx"
MANIFEST = "manifest.json"
SIGNATURE = "manifest.sig"
# A manifest is a few kilobytes; the model's cap leaves room for one ten times ours.
LARGEST_MANIFEST = 1 << 20
LARGEST_SIGNATURE = 1 << 12
LARGEST_FILE = 64 << 20


@dataclass(frozen=True)
class Bundle:
    """A bundle that has passed every check.

    Attributes:
        path: the folder that it was read from.
        version: first 12 hex digits of the manifest's SHA-256.
        signed_by: id of the trusted key that signed it.
        manifest: what it says about itself.
        contract: the contract that it was checked against.
        files: the verified bytes of every file that the manifest names.
    """

    path: Path
    version: str
    signed_by: str
    manifest: Manifest
    contract: Contract
    files: Mapping[str, bytes]

    @property
    def model(self) -> bytes:
        """The verified bytes of policy.onnx."""
        return self.files[MODEL]


def load_bundle(path: Path, contract: Contract, trusted_keys: Sequence[Path]) -> Bundle:
    """Reads and verifies a bundle: signature, then hashes, then contract, then specification.

    Args:
        path: the bundle's folder.
        contract: what this robot runs.
        trusted_keys: public key files, 64 hex digits or PEM, any of which may have signed.

    Raises:
        InputError: the first reason why the bundle must not run, in one line. Files that the
            manifest does not name, links, and anything over its size cap are such reasons.
    """
    names = _listing(path)
    for needed in (MANIFEST, SIGNATURE):
        if needed not in names:
            raise InputError(path / needed, "is missing", "fetch the bundle again")
    data = _read(path, MANIFEST, LARGEST_MANIFEST)
    signed_by = verify(
        path / SIGNATURE, data, _read(path, SIGNATURE, LARGEST_SIGNATURE), trusted_keys
    )
    manifest = parse_manifest(path / MANIFEST, data)
    if MODEL not in manifest.files:
        raise InputError(path / MANIFEST, f"names no {MODEL}", "export the policy again")
    for name in sorted(names - set(manifest.files) - {MANIFEST, SIGNATURE}):
        raise InputError(path / name, "is not named in the manifest", "remove it")
    files = {name: _checked(path, name, mark) for name, mark in sorted(manifest.files.items())}
    check_contract(path / MANIFEST, manifest, contract)
    return Bundle(path, version(data), signed_by, manifest, contract, files)


def write_bundle(
    path: Path,
    contract: Contract,
    files: Mapping[str, bytes],
    *,
    recipe: str,
    training: Training,
    created_by: Mapping[str, str],
    key: Ed25519PrivateKey,
    parent: str | None = None,
    flow: Flow | None = None,
    outcome: Outcome | None = None,
) -> str:
    """Writes and signs a bundle; the folder appears whole or not at all.

    Args:
        path: the new folder.
        contract: what the policy was trained for.
        files: name to content; ``policy.onnx`` among them.
        recipe: name of the recipe.
        training: what it was made from and how it did.
        created_by: name and version of the software that made it.
        key: the signing key.
        parent: version of the policy that training started from, if any.
        flow: of a multi-step teacher that the files hold.
        outcome: of a forecast that the student gives.

    Returns:
        The policy's version.

    Raises:
        InputError: the folder is there already, or cannot be written.
        ValueError: a field or a file's name does not fit the manifest's model.
    """
    marks = {
        name: FileMark(bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
        for name, data in files.items()
    }
    manifest = Manifest.model_validate(
        {
            "bundle": 1,
            **specification(contract),
            "recipe": recipe,
            "parent": parent,
            "training": training,
            "flow": flow,
            "outcome": outcome,
            "created_by": dict(created_by),
            "files": marks,
        }
    )
    if path.exists() or path.is_symlink():
        raise InputError(path, "is there already", "name a new folder")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
        try:
            for name, data in {**files, MANIFEST: manifest_bytes(manifest)}.items():
                (draft / name).write_bytes(data)
            sign_bundle(draft, key)
            draft.chmod(0o755)  # mkdtemp makes it private
            draft.rename(path)
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise
    except OSError as error:
        reason = (error.strerror or "failed").lower()
        raise InputError(path, f"cannot be written ({reason})", "check the path") from error
    return version(manifest_bytes(manifest))


def sign_bundle(path: Path, key: Ed25519PrivateKey) -> None:
    """Writes ``manifest.sig``, over whatever signature was there.

    Raises:
        InputError: the folder holds no readable manifest.
    """
    line = signature_line(key, _read(path, MANIFEST, LARGEST_MANIFEST))
    (path / SIGNATURE).write_bytes(line)


def _listing(path: Path) -> set[str]:
    try:
        return set(os.listdir(path))
    except OSError as error:
        reason = (error.strerror or "unreadable").lower()
        raise InputError(path, f"is no bundle folder ({reason})", "check the path") from error


def _checked(path: Path, name: str, mark: FileMark) -> bytes:
    if mark.bytes > LARGEST_FILE:
        raise InputError(path / name, f"is over {LARGEST_FILE >> 20} MiB", "export a smaller one")
    data = _read(path, name, mark.bytes)
    if len(data) != mark.bytes or hashlib.sha256(data).hexdigest() != mark.sha256:
        raise InputError(path / name, "is not the file that was signed", "fetch the bundle again")
    return data


def _read(path: Path, name: str, cap: int) -> bytes:
    """The bytes of a regular file, never through a link and never more than ``cap``."""
    place = path / name
    try:
        # O_NONBLOCK: opening a named pipe must not wait for a writer.
        handle = os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(handle, "rb") as file:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise InputError(place, "is no regular file", "fetch the bundle again")
            data = file.read(cap + 1)
    except FileNotFoundError as error:
        raise InputError(place, "is missing", "fetch the bundle again") from error
    except OSError as error:
        problem = "is a link" if place.is_symlink() else (error.strerror or "unreadable").lower()
        raise InputError(place, problem, "fetch the bundle again") from error
    if len(data) > cap:
        raise InputError(place, f"is larger than {cap} bytes", "fetch the bundle again")
    return data
