"""Fetches the learner's bundles, verifies them, and tells the learner what became of each."""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.link.backoff import Backoff
from vla_rl_nodes.link.bundle_ledger import ENDED, BundleLedger
from vla_rl_nodes.link.bundle_unpack import DRAFT, place_bundle
from vla_rl_nodes.link.client import LearnerClient, LinkError, RefusalError
from vla_rl_nodes.link.disk_thread import DiskThread
from vla_rl_nodes.link.protocol import BundleAnnouncement, BundleState
from vla_rl_nodes.link.robot_settings import RobotSettings
from vla_rl_nodes.link.uploader import Teller

_INCOMING = ".incoming-"
_FIRST_RETRY_S = 0.25
_POLL_S = 1.0  # at the least between two questions, however fast the answers come
_TRIES = 3  # of a download whose hash came out wrong
_PIECE = 1 << 20

Offer = Callable[[str, Path, bool], None]


class BundleWatch:
    """Takes what the settings allow; a bundle is offered only after every check.

    Args:
        settings: of the robot; not with ``take: never``.
        contract: that the robot runs.
        keys: that may sign.
        client: asks the learner.
        ledger: used on the disk thread only.
        disk: that thread.
        teller: told what a person should know.
        offer: given version and folder of each bundle that passed, and whether it is new: at
            the start the last good one is given again, which may have been offered before.
    """

    def __init__(
        self,
        settings: RobotSettings,
        contract: Contract,
        keys: Sequence[Path],
        client: LearnerClient,
        ledger: BundleLedger,
        disk: DiskThread,
        teller: Teller,
        offer: Offer,
    ) -> None:
        self._settings, self._contract, self._keys = settings, contract, keys
        self._client, self._ledger, self._disk = client, ledger, disk
        self._teller, self._offer = teller, offer
        self._wrong: dict[str, int] = {}
        self._wake = asyncio.Event()
        self._held: set[str] = set()

    async def run(self) -> None:
        """Fetches and reports until it is cancelled."""
        last = await self._disk(self._begin)
        if last is not None:
            self._offer(*last)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._again(self._watch))
            tasks.create_task(self._again(self._report))

    async def happened(
        self, version: str, state: BundleState, reason: str, held: set[str]
    ) -> None:
        """The policy node has told something of a version.

        Args:
            version: that it happened to.
            state: as the protocol names it.
            reason: one line; empty where it went well.
            held: versions that the policy node holds now.
        """
        self._held = held
        if await self._disk(self._ledger.happened, version, state, reason, time.time_ns()):
            self._wake.set()

    def _begin(self) -> tuple[str, Path, bool] | None:
        """Clears what a kill has left; the last bundle, when it was good and not given up."""
        versions = self._settings.versions
        versions.mkdir(parents=True, exist_ok=True)
        for draft in versions.glob(f"{DRAFT}*"):
            shutil.rmtree(draft, ignore_errors=True)
        last = self._ledger.last()
        state, folder = self._ledger.state(last), versions / last
        if state in ("", *ENDED) or not folder.is_dir():
            return None
        return last, folder, state == "fetched"

    async def _again(self, step: Callable[[], object]) -> None:
        """Takes a step for ever, and waits after a failure."""
        backoff = Backoff(_FIRST_RETRY_S, self._settings.upload.retry_s, random.Random())
        while True:
            try:
                await step()  # type: ignore[misc]
                backoff.worked()
            except InputError as error:
                self._teller.say(error, kind=f"bundles {error.place}")
                await asyncio.sleep(backoff.failed())

    async def _watch(self) -> None:
        asked = time.monotonic()
        after = await self._disk(self._ledger.last)
        latest = await self._client.latest_bundle(after, self._settings.bundles.wait_s)
        if latest is not None and latest.version != after:
            known = await self._disk(self._ledger.state, latest.version)
            if known not in ENDED:
                await self._take(latest)
        pause_s = min(_POLL_S, self._settings.bundles.wait_s)
        await asyncio.sleep(max(0.0, asked + pause_s - time.monotonic()))

    async def _take(self, latest: BundleAnnouncement) -> None:
        """Fetches a bundle and offers or refuses it.

        Raises:
            LinkError: it did not come whole.
            InputError: the robot's disk does not hold it.
        """
        version, most = latest.version, self._settings.bundles.bytes_max
        if latest.size > most:
            await self._refuse(latest, f"has {latest.size} bytes, more than {most}")
            return
        try:
            archive = await self._fetch(latest)
        except RefusalError as error:  # of the moment: what it offers now is asked for next
            raise LinkError(error.place, error.problem, error.remedy) from error
        if archive is None:
            return
        try:
            folder = await self._disk(
                place_bundle, archive, version, self._settings.versions, self._contract, self._keys
            )
        except InputError as error:
            await self._refuse(latest, str(error))
            return
        except OSError as error:
            raise _disk_error(archive, error) from error
        finally:
            with suppress(OSError):
                await self._disk(archive.unlink, missing_ok=True)
        await self._disk(self._ledger.note, version, latest.sha256, "fetched", "", time.time_ns())
        await self._disk(self._clear, version)
        self._wake.set()
        self._teller.say(f"bundle {version} has come and is good: {folder}")
        self._offer(version, folder, True)

    async def _fetch(self, latest: BundleAnnouncement) -> Path | None:
        """The zip, whole and with the announced hash; None when it was refused for good."""
        archive = self._settings.versions / f"{_INCOMING}{latest.version}-{latest.sha256[:16]}"
        try:
            offset = await self._disk(self._room, archive, latest.size)
            if offset < latest.size:
                with archive.open("ab") as file:

                    async def keep(piece: bytes) -> None:
                        try:
                            await self._disk(file.write, piece)
                        except OSError as error:
                            raise _disk_error(archive, error) from error

                    await self._client.bundle(latest.version, offset, latest.size, keep)
                    await self._disk(file.flush)
        except OSError as error:
            raise _disk_error(archive, error) from error
        found = await self._sha256(archive)
        if found == latest.sha256:
            return archive
        await self._disk(archive.unlink, missing_ok=True)
        wrong = self._wrong[latest.version] = self._wrong.get(latest.version, 0) + 1
        problem = f"has sha256 {found[:12]}, not {latest.sha256[:12]} as announced"
        if wrong < _TRIES:
            raise LinkError(f"bundle {latest.version}", problem, "look at the learner's folder")
        await self._refuse(latest, problem)
        return None

    def _room(self, archive: Path, size: int) -> int:
        """Bytes that are there already, when the rest and the unpacked bundle fit beside them."""
        for other in archive.parent.glob(f"{_INCOMING}*"):
            if other != archive:
                other.unlink()
        offset = archive.stat().st_size if archive.exists() else 0
        if offset > size:
            archive.unlink()
            offset = 0
        free = shutil.disk_usage(archive.parent).free
        if free < 2 * size - offset:
            raise InputError(
                archive.parent, f"has {free} bytes free, a bundle of {size} takes twice its size",
                "free space on the robot",
            )  # fmt: skip
        return offset

    async def _sha256(self, archive: Path) -> str:
        digest = hashlib.sha256()
        with archive.open("rb") as file:
            while piece := await self._disk(file.read, _PIECE):
                await self._disk(digest.update, piece)
        return digest.hexdigest()

    async def _refuse(self, latest: BundleAnnouncement, reason: str) -> None:
        self._teller.say(f"bundle {latest.version} is refused: {reason}")
        await self._disk(
            self._ledger.note, latest.version, latest.sha256, "refused", reason, time.time_ns()
        )
        self._wake.set()

    def _clear(self, newest: str) -> None:
        """Deletes old versions, but never one that the policy node holds."""
        folders = [f for f in self._settings.versions.iterdir() if not f.name.startswith(".")]
        folders.sort(key=lambda folder: os.stat(folder).st_mtime_ns)
        spare = [f for f in folders if f.name != newest and f.name not in self._held]
        for folder in spare[: max(0, len(spare) + 1 - self._settings.bundles.keep)]:
            shutil.rmtree(folder, ignore_errors=True)

    async def _report(self) -> None:
        self._wake.clear()
        report = await self._disk(self._ledger.pending)
        if report is None:
            await self._wake.wait()
            return
        try:
            await self._client.report(report.version, report.body)
        except RefusalError as error:
            if not error.lasting:
                raise LinkError(error.place, error.problem, error.remedy) from error
            self._teller.say(f"bundle {report.version}: its report is not taken: {error}")
        await self._disk(self._ledger.reported, report)


def _disk_error(path: Path, error: OSError) -> InputError:
    reason = (error.strerror or "failed").lower()
    return InputError(path, f"cannot be written ({reason})", "free space on the robot")
