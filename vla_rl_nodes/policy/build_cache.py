"""Built engines on disk: found by what they were built from, checked before they are loaded.

A TensorRT plan is machine code that is run as it is. The SHA-256 beside it shows damage, not
malice: whoever can write the plan can write the hash. So nothing is loaded but from folders and
files that belong to the user who runs the engine and that nobody else may write.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError

from vla_rl_nodes.contract.spec import Strict
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.policy.manifest import FileMark
from vla_rl_nodes.policy.tensorrt_graph import Precision

# The TensorRT provider of onnxruntime names its own files; no name leads out of the folder.
FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,199}$")]

SIDECAR = "built.json"
REMEDY = "build it: vla-rl policy build"
LARGEST_FILE = 4 << 30
LARGEST_SIDECAR = 1 << 20


@dataclass(frozen=True)
class EngineKey:
    """Everything that a built engine depends on.

    Attributes:
        engine: ``tensorrt`` or ``onnxruntime-tensorrt``.
        model_sha256: of the bundle's graph.
        gpu: name of the GPU.
        compute_capability: such as ``9.0``.
        versions: of TensorRT and of what else made it.
        precision: ``fp16`` or ``fp32``.
        format: of this package's way of building; raised when it changes.
    """

    engine: str
    model_sha256: str
    gpu: str
    compute_capability: str
    versions: str
    precision: Precision
    format: int = 1

    @property
    def folder_name(self) -> str:
        """A name that only this key has."""
        text = json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))
        return f"{self.engine}-{hashlib.sha256(text.encode()).hexdigest()[:32]}"


class Sidecar(Strict):
    """``built.json``: what the engine was built from, its files, and how far it is off."""

    key: dict[str, str | int]
    candidates: Annotated[int, Field(ge=1)]
    files: Annotated[dict[FileName, FileMark], Field(min_length=1, max_length=64)]
    difference: Annotated[float, Field(ge=0, allow_inf_nan=False)]


@dataclass(frozen=True)
class Entry:
    """A built engine that was checked.

    Attributes:
        folder: where it is.
        files: name to content.
        candidates: the largest batch that it was built for.
        difference: from onnxruntime on the CPU, a share of an axis' range; see policy.parity.
    """

    folder: Path
    files: Mapping[str, bytes]
    candidates: int
    difference: float


def default_root() -> Path:
    """Where this user's engines are kept: the XDG cache folder."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "vla_rl_nodes" / "engines"


def entry(root: Path, key: EngineKey) -> Path:
    """The folder of a key's files, there or not."""
    return root / key.folder_name


def load(root: Path, key: EngineKey, candidates: int) -> Entry:
    """A built engine, its files read once and checked.

    Args:
        root: the cache.
        key: what it must have been built from.
        candidates: the largest batch that it is wanted for.

    Raises:
        InputError: it was not built, or only for smaller batches; a folder or file is another
            user's, can be written by others, or is a link; or a file is not what was built.
    """
    folder = entry(root, key)
    if not folder.exists():
        raise InputError(
            key.engine, f"has no {key.precision} engine for this policy and machine", REMEDY
        )
    with _opened(root), _opened(folder) as handle:
        data = _read(handle, folder, SIDECAR, LARGEST_SIDECAR)
        try:
            sidecar = Sidecar.model_validate_json(data)
        except ValidationError as error:
            raise InputError(folder / SIDECAR, "is not what was written", REMEDY) from error
        if sidecar.key != asdict(key):
            raise InputError(folder / SIDECAR, "is for another engine", REMEDY)
        if sidecar.candidates < candidates:
            raise InputError(
                key.engine,
                f"was built for {sidecar.candidates} candidates, not {candidates}",
                f"{REMEDY} --candidates {candidates}",
            )
        files = {}
        for name, mark in sidecar.files.items():
            content = _read(handle, folder, name, min(mark.bytes, LARGEST_FILE))
            if hashlib.sha256(content).hexdigest() != mark.sha256:
                raise InputError(folder / name, "is not the file that was built", REMEDY)
            files[name] = content
        return Entry(folder, files, sidecar.candidates, sidecar.difference)


@contextmanager
def draft(root: Path) -> Iterator[Path]:
    """A private folder beside the entries, to build into; what is left in it is removed.

    Raises:
        InputError: the cache cannot be written, or could be written by others.
    """
    try:
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        with _opened(root):
            folder = Path(tempfile.mkdtemp(prefix=".building.", dir=root))
    except OSError as error:
        raise _unusable(root, error) from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def keep(root: Path, key: EngineKey, folder: Path, *, candidates: int, difference: float) -> Path:
    """Seals a draft and puts it in the key's place, over whatever was there.

    Args:
        root: the cache.
        key: what it was built from.
        folder: a draft with the engine's files.
        candidates: the largest batch that it was built for.
        difference: from the reference engine, a share of an axis' range; see policy.parity.

    Raises:
        InputError: the cache cannot be written.
    """
    place = entry(root, key)
    try:
        _seal(folder, key, candidates, difference)
        shutil.rmtree(place, ignore_errors=True)
        folder.rename(place)
    except OSError as error:
        raise _unusable(root, error) from error
    return place


def read_timings(root: Path, name: str) -> bytes:
    """The builder's measurements of an earlier build, which make the next one quicker; or none.

    Raises:
        InputError: the file could have been written by others.
    """
    if not (root / name).exists():
        return b""
    with _opened(root) as handle:
        return _read(handle, root, name, LARGEST_FILE)


def write_timings(root: Path, name: str, data: bytes) -> None:
    """Keeps the builder's measurements for the next build.

    Raises:
        InputError: the cache cannot be written.
    """
    try:
        with _opened(root):
            handle, path = tempfile.mkstemp(prefix=".timings.", dir=root)
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            Path(path).rename(root / name)
    except OSError as error:
        raise _unusable(root, error) from error


def _seal(draft: Path, key: EngineKey, candidates: int, difference: float) -> None:
    marks: dict[str, Any] = {}
    for path in sorted(draft.iterdir()):
        path.chmod(0o600)
        data = path.read_bytes()
        marks[path.name] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    sidecar = Sidecar.model_validate(
        {
            "key": asdict(key),
            "candidates": candidates,
            "files": marks,
            "difference": difference,
        }
    )
    path = draft / SIDECAR
    path.write_text(sidecar.model_dump_json(indent=2) + "\n", encoding="utf-8")
    path.chmod(0o600)


@contextmanager
def _opened(folder: Path) -> Iterator[int]:
    """A handle of a folder that is this user's and that nobody else may write."""
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        reason = "is a link" if folder.is_symlink() else (error.strerror or "unreadable").lower()
        raise InputError(folder, reason, "engines are loaded from real folders only") from error
    try:
        _refuse_foreign(folder, os.fstat(handle))
        yield handle
    finally:
        os.close(handle)


def _read(folder_handle: int, folder: Path, name: str, cap: int) -> bytes:
    """The bytes of a file in an open folder, never through a link and never more than ``cap``."""
    place = folder / name
    try:
        # O_NONBLOCK: opening a named pipe must not wait for a writer.
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        with os.fdopen(os.open(name, flags, dir_fd=folder_handle), "rb") as file:
            status = os.fstat(file.fileno())
            _refuse_foreign(place, status)
            if not stat.S_ISREG(status.st_mode):
                raise InputError(place, "is no regular file", REMEDY)
            data = file.read(cap + 1)
    except OSError as error:
        raise InputError(place, (error.strerror or "unreadable").lower(), REMEDY) from error
    if len(data) > cap:
        raise InputError(place, f"is larger than {cap} bytes", REMEDY)
    return data


def _refuse_foreign(place: Path, status: os.stat_result) -> None:
    if status.st_uid != os.geteuid():
        raise InputError(place, "belongs to another user", "build your own: vla-rl policy build")
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise InputError(
            place, "can be written by other users", f"chmod go-w {place}, and build it again"
        )


def _unusable(root: Path, error: OSError) -> InputError:
    reason = (error.strerror or "failed").lower()
    return InputError(root, f"cannot be written ({reason})", "check the cache folder")
