"""A bundle's zip into a folder, although whoever made the zip may mean harm."""

from __future__ import annotations

import os
import re
import shutil
import stat
import struct
import zipfile
from collections.abc import Sequence
from pathlib import Path

from vla_rl_nodes.bags.durable import sync_folder
from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.policy.bundle import load_bundle

MOST_FILES = 64
DRAFT = ".draft-"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_ENCRYPTED = 0x1
_COPIED = 1 << 20
_REMEDY = "put the bundle into the learner's folder `bundles` again"
_UNREADABLE = (
    zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, ValueError, LookupError,
    OverflowError, struct.error,
)  # fmt: skip


def place_bundle(
    archive: Path, version: str, versions: Path, contract: Contract, keys: Sequence[Path]
) -> Path:
    """Unpacks and verifies a bundle; its folder appears whole and verified, or not at all.

    Args:
        archive: the zip.
        version: that was announced.
        versions: gets a folder of that name.
        contract: of this robot.
        keys: that may have signed.

    Returns:
        The folder.

    Raises:
        InputError: the reason why this bundle must not be used, in one line.
        OSError: the disk failed; nothing is said of the bundle.
    """
    folder = versions / version
    draft = versions / f"{DRAFT}{version}"
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    try:
        unpack(archive, draft)
        found = load_bundle(draft, contract, keys).version
        if found != version:
            raise InputError(archive.name, f"holds version {found}, not {version}", _REMEDY)
        if folder.exists():  # it was fetched before and may have been damaged since
            shutil.rmtree(folder)
        os.rename(draft, folder)
        sync_folder(versions)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    return folder


def unpack(archive: Path, folder: Path) -> None:
    """Writes the files of a zip into an empty folder and syncs them.

    Only plain files beside each other are taken, as many bytes of them as the zip itself has:
    a bundle is stored without compression, so nothing in it can grow.

    Raises:
        InputError: a path, a link, a name twice, compression, encryption, too many files, more
            bytes than the zip has, a wrong checksum, or no zip at all.
        OSError: the disk failed.
    """
    try:
        with zipfile.ZipFile(archive) as content:
            infos = content.infolist()
            _check(archive, infos)
            for info in infos:
                _write(content, info, folder / info.filename)
    except _UNREADABLE as error:
        if isinstance(error, InputError):
            raise
        said = " ".join(str(error).split())[:80] or type(error).__name__
        raise InputError(archive.name, f"is no intact zip ({said})", _REMEDY) from error
    sync_folder(folder)


def _check(archive: Path, infos: Sequence[zipfile.ZipInfo]) -> None:
    def refuse(name: str, problem: str) -> InputError:
        shown = "".join(c for c in name if c.isprintable())[:60]
        return InputError(f"{archive.name}: '{shown}'", problem, _REMEDY)

    if len(infos) > MOST_FILES:
        raise InputError(archive.name, f"holds more than {MOST_FILES} files", _REMEDY)
    names: set[str] = set()
    for info in infos:
        name = info.orig_filename
        mode = info.external_attr >> 16
        if not _NAME.fullmatch(name) or name != info.filename:
            raise refuse(name, "is no plain file name")
        if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
            raise refuse(name, "is no regular file")
        # Two names that differ in case are one file on some disks.
        if name.lower() in names:
            raise refuse(name, "stands twice")
        names.add(name.lower())
        if info.flag_bits & _ENCRYPTED:
            raise refuse(name, "is encrypted")
        if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size:
            raise refuse(name, "is compressed")
    if sum(info.file_size for info in infos) > archive.stat().st_size:
        raise InputError(archive.name, "promises more bytes than it has", _REMEDY)


def _write(content: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with content.open(info) as source, os.fdopen(os.open(path, flags, 0o644), "wb") as target:
        left = info.file_size
        while left > 0 and (piece := source.read(min(_COPIED, left))):
            left -= len(piece)
            target.write(piece)
        target.flush()
        os.fsync(target.fileno())
