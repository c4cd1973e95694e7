"""The bundles that a learner offers: those in one folder whose signature, hashes and contract
hold, each as one zip of the same bytes every time."""

from __future__ import annotations

import asyncio
import hashlib
import io
import os
import shutil
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from vla_rl_nodes.bags.durable import write_durably
from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.policy.bundle import (
    LARGEST_MANIFEST,
    LARGEST_SIGNATURE,
    MANIFEST,
    SIGNATURE,
    load_bundle,
)
from vla_rl_nodes.policy.manifest import parse_manifest, version
from vla_rl_nodes.policy.signing import verify
from vla_rl_nodes.resources import resource

_EARLIEST = (1980, 1, 1, 0, 0, 0)  # the first date that a zip can hold
_MODE = 0o100644 << 16
_UNIX = 3
Mark = tuple[tuple[str, int, int], ...]


@dataclass(frozen=True)
class Offered:
    """A bundle that has passed every check, packed.

    Attributes:
        archive: its zip.
        sha256: of the zip.
        size: of the zip, bytes.
        published_ns: when its signature was written.
        contract_sha256: what it was trained for.
    """

    version: str
    archive: Path
    sha256: str
    size: int
    published_ns: int
    contract_sha256: str


class Packed(NamedTuple):
    """A verified bundle's version, its contract's SHA-256, and its uncompressed zip."""

    version: str
    contract_sha256: str
    archive: bytes


def known_contracts(names: Sequence[str] | None) -> dict[str, Contract]:
    """Contracts by their SHA-256; None for the shipped ones.

    Raises:
        InputError: one cannot be read.
    """
    if names is None:
        names = [str(path) for path in sorted(resource("config/contracts").glob("*.yaml"))]
    contracts = [load_contract(name) for name in names]
    return {contract.sha256: contract for contract in contracts}


def pack(folder: Path, contracts: dict[str, Contract], keys: Sequence[Path]) -> Packed:
    """A bundle, packed from the bytes that were verified: the same ones every time.

    Raises:
        InputError: the first reason why no robot must get it.
    """
    manifest_data = _read(folder / MANIFEST, LARGEST_MANIFEST)
    signature = _read(folder / SIGNATURE, LARGEST_SIGNATURE)
    verify(folder / SIGNATURE, manifest_data, signature, keys)
    mark = parse_manifest(folder / MANIFEST, manifest_data).contract
    contract = contracts.get(mark.sha256)
    if contract is None:
        raise InputError(
            folder / MANIFEST,
            f"is for contract {mark.name} {mark.sha256[:12]}, which is not known",
            "list its file in contract_files",
        )
    bundle = load_bundle(folder, contract, keys)
    if version(manifest_data) != bundle.version:
        raise InputError(folder, "changed while it was read", "publish it again")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        content = {MANIFEST: manifest_data, SIGNATURE: signature, **bundle.files}
        for name, data in sorted(content.items()):
            entry = zipfile.ZipInfo(name, _EARLIEST)
            entry.create_system, entry.external_attr = _UNIX, _MODE
            archive.writestr(entry, data)
    return Packed(bundle.version, contract.sha256, buffer.getvalue())


class BundleShelf:
    """Watches the folder of bundles; whoever waits is woken when something new is offered.

    Args:
        folder: with one folder per bundle.
        packed: folder for their zips; what lies in it is made again.
        contracts: that a bundle may be for.
        keys: public keys, any of which may have signed.
        log: told one line per bundle.
    """

    def __init__(
        self,
        folder: Path,
        packed: Path,
        contracts: dict[str, Contract],
        keys: Sequence[Path],
        log: Callable[[str], None],
    ) -> None:
        self._folder, self._packed = folder, packed
        self._contracts, self._keys, self._log = contracts, keys, log
        self._seen: dict[Path, Mark] = {}
        self._offered: dict[Path, Offered] = {}
        self._news = asyncio.Event()
        shutil.rmtree(packed, ignore_errors=True)

    def latest(self, contracts: Sequence[str]) -> Offered | None:
        """The newest bundle for any of some contracts."""
        fitting = [o for o in self._offered.values() if o.contract_sha256 in contracts]
        return max(fitting, key=lambda o: (o.published_ns, o.version), default=None)

    def find(self, wanted: str, contracts: Sequence[str]) -> Offered | None:
        """A bundle by its version, when it is for one of some contracts."""
        for offered in self._offered.values():
            if offered.version == wanted and offered.contract_sha256 in contracts:
                return offered
        return None

    @property
    def news(self) -> asyncio.Event:
        """Set when something changes; another event takes its place then."""
        return self._news

    def wake(self) -> None:
        """Wakes whoever waits."""
        self._news.set()
        self._news = asyncio.Event()

    async def look(self) -> None:
        """Takes in what has changed in the folder."""
        marks = await asyncio.to_thread(self._marks)
        changed = False
        for gone in self._seen.keys() - marks.keys():
            del self._seen[gone]
            changed |= self._offered.pop(gone, None) is not None
        for place, mark in marks.items():
            if self._seen.get(place) == mark:
                continue
            self._seen[place] = mark
            changed |= self._offered.pop(place, None) is not None
            try:
                offered = await asyncio.to_thread(self._take, place)
            except InputError as error:
                self._log(f"bundle not offered: {error}")
                continue
            except OSError as error:
                self._log(f"bundle not offered: {place}: {(error.strerror or 'failed').lower()}")
                del self._seen[place]  # the disk's fault, not the bundle's: look again
                continue
            self._offered[place] = offered
            changed = True
            self._log(f"bundle {offered.version} offered: {offered.size} bytes")
        if changed:
            self.wake()

    def _marks(self) -> dict[Path, Mark]:
        try:
            places = [p for p in sorted(self._folder.iterdir()) if not p.name.startswith(".")]
        except OSError:
            return {}
        return {p: mark for p in places if (mark := _mark(p)) is not None}

    def _take(self, place: Path) -> Offered:
        bundle = pack(place, self._contracts, self._keys)
        archive = self._packed / f"{bundle.version}.zip"
        self._packed.mkdir(parents=True, exist_ok=True)
        write_durably(archive, bundle.archive)
        return Offered(
            bundle.version,
            archive,
            hashlib.sha256(bundle.archive).hexdigest(),
            len(bundle.archive),
            (place / SIGNATURE).stat().st_mtime_ns,
            bundle.contract_sha256,
        )


def _mark(place: Path) -> Mark | None:
    try:
        with os.scandir(place) as entries:
            found = [(e.name, e.stat(follow_symlinks=False)) for e in entries]
    except OSError:
        return None
    return tuple(sorted((name, s.st_size, s.st_mtime_ns) for name, s in found))


def _read(path: Path, cap: int) -> bytes:
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(handle, "rb") as file:
            return file.read(cap)
    except OSError as error:
        reason = (error.strerror or "unreadable").lower()
        raise InputError(path, f"cannot be read ({reason})", "publish it again") from error
