"""A reward model's folder: written whole and signed, read once, checked, and kept in memory.

A model that says "success" ends an episode and teaches the policy, so it is trusted like a policy:
nothing of it is used before the signature over its manifest and the hashes in it are checked.
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
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.episodes.reward.manifest import (
    MODEL,
    RewardManifest,
    check_contract,
    manifest_bytes,
    model_version,
    parse_manifest,
)
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.policy.signing import signature_line, verify

MANIFEST = "manifest.json"
SIGNATURE = "manifest.sig"
LARGEST_MANIFEST = 1 << 20
LARGEST_SIGNATURE = 1 << 12
LARGEST_FILE = 64 << 20


@dataclass(frozen=True)
class RewardModel:
    """A reward model that has passed every check.

    Attributes:
        path: the folder that it was read from.
        signed_by: id of the trusted key that signed it; empty where unsigned ones are allowed.
        manifest: what it says about itself.
        contract: that it was checked against.
        model: the verified bytes of ``model.onnx``.
    """

    path: Path
    signed_by: str
    manifest: RewardManifest
    contract: Contract
    model: bytes

    @property
    def source(self) -> str:
        """How verdicts name it: ``<kind>/<name>@<version>``."""
        manifest = self.manifest
        return f"{manifest.kind}/{manifest.name}@{manifest.version}"


def load_reward_model(
    path: Path, contract: Contract, trusted_keys: Sequence[Path], allow_unsigned: bool = False
) -> RewardModel:
    """Reads and verifies a folder: signature, then hashes, then contract.

    Args:
        path: the folder.
        contract: what this robot runs.
        trusted_keys: public key files, any of which may have signed.
        allow_unsigned: takes a folder without ``manifest.sig``, for trials on a bench; a signature
            that is there must hold all the same.

    Raises:
        InputError: the first reason why the model must not judge, in one line.
    """
    try:
        names = set(os.listdir(path))
    except OSError as error:
        reason = (error.strerror or "unreadable").lower()
        raise InputError(
            path, f"is no reward model's folder ({reason})", "check the path"
        ) from error
    data = _read(path, MANIFEST, LARGEST_MANIFEST)
    signed_by = ""
    if SIGNATURE in names or not allow_unsigned:
        line = _read(path, SIGNATURE, LARGEST_SIGNATURE)
        signed_by = verify(path / SIGNATURE, data, line, trusted_keys)
    manifest = parse_manifest(path / MANIFEST, data)
    for name in sorted(names - set(manifest.files) - {MANIFEST, SIGNATURE}):
        raise InputError(path / name, "is not named in the manifest", "remove it")
    files = {}
    for name, mark in sorted(manifest.files.items()):
        if mark.bytes > LARGEST_FILE:
            raise InputError(path / name, f"is over {LARGEST_FILE >> 20} MiB", "export it smaller")
        files[name] = _read(path, name, mark.bytes)
        if hashlib.sha256(files[name]).hexdigest() != mark.sha256:
            raise InputError(path / name, "is not the file that was signed", "fetch it again")
    check_contract(path / MANIFEST, manifest, contract)
    return RewardModel(path, signed_by, manifest, contract, files[MODEL])


def write_reward_model(
    path: Path,
    contract: Contract,
    model: bytes,
    fields: Mapping[str, Any],
    key: Ed25519PrivateKey | None,
) -> RewardManifest:
    """Writes and signs a folder, which appears whole or not at all.

    Args:
        path: the new folder.
        contract: whose observations the model judges.
        model: the bytes of ``model.onnx``.
        fields: the manifest's fields but ``reward_model``, ``version``, ``contract``,
            ``contract_sha256`` and ``files``, which follow from the other arguments.
        key: the signing key; None leaves the folder unsigned, and robots refuse it.

    Raises:
        InputError: the folder is there already or cannot be written, or a field does not fit.
        ValueError: a field is missing, unknown or wrong (of pydantic).
    """
    mark = {"bytes": len(model), "sha256": hashlib.sha256(model).hexdigest()}
    manifest = RewardManifest.model_validate(
        {
            "reward_model": 1,
            "version": model_version(model),
            "contract": contract.name,
            "contract_sha256": contract.sha256,
            "files": {MODEL: mark},
            **fields,
        }
    )
    check_contract(path, manifest, contract)
    if path.exists() or path.is_symlink():
        raise InputError(path, "is there already", "name a new folder")
    data = manifest_bytes(manifest)
    files = {MODEL: model, MANIFEST: data}
    if key is not None:
        files[SIGNATURE] = signature_line(key, data)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
        try:
            for name, content in files.items():
                (draft / name).write_bytes(content)
            draft.chmod(0o755)  # mkdtemp makes it private
            draft.rename(path)
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise
    except OSError as error:
        reason = (error.strerror or "failed").lower()
        raise InputError(path, f"cannot be written ({reason})", "check the path") from error
    return manifest


def _read(path: Path, name: str, cap: int) -> bytes:
    """The bytes of a regular file, never through a link and never more than ``cap``."""
    place = path / name
    try:
        # O_NONBLOCK: opening a named pipe must not wait for a writer.
        handle = os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(handle, "rb") as file:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise InputError(place, "is no regular file", "fetch the model again")
            data = file.read(cap + 1)
    except FileNotFoundError as error:
        raise InputError(place, "is missing", "fetch the model again") from error
    except OSError as error:
        problem = "is a link" if place.is_symlink() else (error.strerror or "unreadable").lower()
        raise InputError(place, problem, "fetch the model again") from error
    if len(data) > cap:
        raise InputError(place, f"is larger than {cap} bytes", "fetch the model again")
    return data
