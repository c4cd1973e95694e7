"""Sends closed episodes until the learner has stored each of them, whatever breaks meanwhile."""

from __future__ import annotations

import asyncio
import hashlib
import random
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Protocol

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.link.backoff import Backoff
from vla_rl_nodes.link.client import LearnerClient, LinkError, RefusalError
from vla_rl_nodes.link.closed_episodes import (
    BagError,
    BagsFolder,
    ClosedEpisode,
    closed_episode,
    manifest_text,
    opened,
    read_part,
)
from vla_rl_nodes.link.disk_policy import DiskPolicy
from vla_rl_nodes.link.disk_thread import DiskThread
from vla_rl_nodes.link.ledger import Entry, Ledger, WrongCopyError
from vla_rl_nodes.link.parts import PartSize
from vla_rl_nodes.link.protocol import EpisodeState
from vla_rl_nodes.link.robot_settings import RobotSettings
from vla_rl_nodes.remote.link import plain

_FIRST_RETRY_S = 0.25
_TRIES = 3  # of a whole upload whose hash came out wrong, before it waits like a refused one
_PROBE_S = 15.0  # without anything to send, between two looks whether the learner is there
_IDLE = 5  # answers in a row without progress before the learner counts as broken
_HASHED = 1 << 20


class Teller(Protocol):
    """Where one-line news goes."""

    def say(self, line: object, kind: str | None = None) -> None:
        """A line; those of one kind need not all be shown."""


class Uploader:
    """One episode after the other, part by part.

    Args:
        settings: of the robot.
        client: asks the learner.
        ledger: used on the disk thread only.
        disk: that thread.
        teller: told what a person should know.

    Attributes:
        connection: ``not tried``, ``up`` or ``down``.
        last_error: one line; empty before the first one.
        unfit: by folder, why a bag cannot be sent as it is.
    """

    def __init__(
        self,
        settings: RobotSettings,
        client: LearnerClient,
        ledger: Ledger,
        disk: DiskThread,
        teller: Teller,
    ) -> None:
        self._settings, self._client, self._ledger = settings, client, ledger
        self._disk, self._teller = disk, teller
        self._bags = BagsFolder(settings.bags)
        self._policy = DiskPolicy(settings.bags, ledger, settings.disk)
        self._backoff = Backoff(_FIRST_RETRY_S, settings.upload.retry_s, random.Random())
        self._parts = PartSize(settings.upload.part_bytes)
        self._resting: dict[str, float] = {}
        self._wrong: dict[str, int] = {}
        self._wake = asyncio.Event()
        self._looked = self._spoke = self._not_before = -float("inf")
        self.connection = "not tried"
        self.last_error = ""
        self.unfit: dict[str, str] = {}

    def wake(self) -> None:
        """There may be a new episode."""
        self._looked = -float("inf")
        self._wake.set()

    async def run(self) -> None:
        """Sends and deletes until it is cancelled."""
        await self._disk(self._policy.sweep)
        while True:
            self._wake.clear()
            wait_s = self._settings.upload.scan_s
            try:
                if await self._step():
                    continue
            except LinkError as error:
                self.connection, self.last_error = "down", str(error)
                self._teller.say(error, kind=f"link {error.place}")
                self._parts.broke()
                self._not_before = time.monotonic() + self._backoff.failed()
            except InputError as error:  # the robot's own disk
                self.last_error = str(error)
                self._teller.say(error)
                self._not_before = time.monotonic() + self._backoff.failed()
            left_s = self._not_before - time.monotonic()
            wait_s = min(wait_s, left_s) if left_s > 0 else wait_s
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._wake.wait()

    async def _step(self) -> bool:
        """Looks at the bags, and sends one episode unless the link was down just now.

        Returns:
            Whether there may be another one to send.
        """
        now = time.monotonic()
        if now - self._looked >= self._settings.upload.scan_s:
            self._looked = now
            for line in await self._disk(self._take_in):
                self._teller.say(line)
        if now < self._not_before:
            return False
        entry = await self._disk(self._next)
        if self.connection != "up" or (entry is None and now - self._spoke > _PROBE_S):
            await self._greet()
        if entry is None:
            return False
        await self._try(entry)
        self._spoke = time.monotonic()
        return True

    def _next(self) -> Entry | None:
        now = time.monotonic()
        self._resting = {name: due for name, due in self._resting.items() if due > now}
        newest_first = self._settings.upload.order == "newest_first"
        return self._ledger.next(newest_first, self._resting)

    def _take_in(self) -> list[str]:
        """On the disk thread: what lies in the folder, into the ledger; lines not told before."""
        findings = self._bags.look()
        unfit = dict(findings.unfit)
        for episode in findings.closed:
            problem = self._ledger.found(episode.folder.name, episode.manifest)
            if problem:
                self._bags.forget(episode.folder.name)
                unfit[episode.folder.name] = problem
        self.unfit = unfit
        gone = [
            f"episode {name}: its bag is gone before it was stored; put it back"
            for name in self._ledger.missing(findings.folders)
        ]
        return self._untold(unfit) + gone + self._delete_surplus()

    def _delete_surplus(self) -> list[str]:
        return self._untold(self._policy.delete_surplus())

    def _untold(self, lines: Mapping[str, str]) -> list[str]:
        return [line for name, line in lines.items() if self._ledger.tell_once(name, line)]

    async def _greet(self) -> None:
        status = await self._client.status()
        if status.robot != self._settings.robot:
            raise LinkError(
                self._settings.learner,
                f"knows this certificate as robot '{plain(status.robot)}', not"
                f" '{self._settings.robot}'",
                "correct robot.yaml or take this robot's certificate",
            )
        self._parts.allow(status.part_bytes)
        self.connection = "up"
        self._spoke = time.monotonic()

    async def _try(self, entry: Entry) -> None:
        """Sends one episode as far as it goes now.

        Raises:
            LinkError: the link or the learner failed.
            InputError: the ledger failed.
        """
        try:
            episode = await self._disk(closed_episode, self._settings.bags / entry.folder)
            text = await self._disk(manifest_text, episode)
        except BagError as error:
            await self._hold(entry, error)
            return
        if (episode.manifest.sha256, episode.manifest.size) != (entry.sha256, entry.size):
            self._bags.forget(entry.folder)  # another bag has taken its place: look again
            self._looked = -float("inf")
            return
        try:
            state = await self._send(entry, episode, text)
            await self._disk(self._ledger.acknowledge, entry, state.sha256 or "", state.size or 0)
        except (BagError, WrongCopyError) as error:
            await self._hold(entry, error)
            return
        except RefusalError as error:
            if not error.lasting:
                self._resting[entry.id] = time.monotonic() + self._settings.upload.retry_s / 2
                raise LinkError(error.place, error.problem, error.remedy) from error
            await self._hold(entry, error)
            return
        self._wrong.pop(entry.id, None)
        self._backoff.worked()
        for line in await self._disk(self._delete_surplus):
            self._teller.say(line)

    async def _send(self, entry: Entry, episode: ClosedEpisode, text: bytes) -> EpisodeState:
        """Part by part until the learner says that it has stored something."""
        state = await self._client.offer(entry.id, text)
        idle = 0
        while state.state != "stored":
            offset = _checked(entry, state)
            await self._disk(self._ledger.open_at, entry, offset)
            part = await self._disk(self._read, episode, offset)
            try:
                state = await self._client.send(entry.id, entry.size, offset, part)
                stuck = state.state == "open" and _checked(entry, state) <= offset
                idle = idle + 1 if stuck else 0
            except RefusalError as refusal:
                if refusal.status == 422:
                    await self._judge(entry, episode, refusal)
                # 409: the learner stands elsewhere; 400: the part was damaged on its way.
                if refusal.status not in (400, 409):
                    raise
                idle += 1
                state = await self._client.offer(entry.id, text)
            if idle > _IDLE:
                raise LinkError(
                    f"episode {entry.id}",
                    f"does not get on: the learner stays at byte {offset} of {entry.size}",
                    "read the learner's log",
                )
            if idle == 0:
                self._backoff.worked()
                self._parts.worked()
        return state

    def _read(self, episode: ClosedEpisode, offset: int) -> bytes:
        with opened(episode) as descriptor:
            return read_part(descriptor, offset, self._parts.size)

    async def _judge(self, entry: Entry, episode: ClosedEpisode, refusal: RefusalError) -> None:
        """The learner says that the whole is wrong: it was damaged on its way, or here.

        Raises:
            LinkError: the bag is as its manifest says, so it is worth another try.
            WrongCopyError: the bag itself is damaged.
        """
        digest = hashlib.sha256()
        for offset in range(0, entry.size, _HASHED):
            piece = await self._disk(_piece, episode, offset)
            digest.update(piece)
        if digest.hexdigest() != entry.sha256:
            raise WrongCopyError(
                episode.path, "is not the file of its manifest", "run `vla-rl bag salvage` on it"
            )
        self._wrong[entry.id] = self._wrong.get(entry.id, 0) + 1
        if self._wrong[entry.id] < _TRIES:
            raise LinkError(refusal.place, refusal.problem, refusal.remedy) from refusal

    async def _hold(self, entry: Entry, error: InputError) -> None:
        """The episode stays here and is tried again much later."""
        self._resting[entry.id] = time.monotonic() + self._settings.upload.refused_retry_s
        self.connection = "not tried"  # what the learner takes may have changed: it is asked
        self.last_error = line = f"episode {entry.id} is not sent: {error}"
        await self._disk(self._ledger.hold, entry, str(error))
        if await self._disk(self._ledger.tell_once, entry.folder, line):
            self._teller.say(line)


def _checked(entry: Entry, state: EpisodeState) -> int:
    if state.offset is None or state.offset > entry.size:
        raise LinkError(
            f"episode {entry.id}",
            f"has {entry.size} bytes; the learner claims to stand at {state.offset}",
            "check what serves there",
        )
    return state.offset


def _piece(episode: ClosedEpisode, offset: int) -> bytes:
    with opened(episode) as descriptor:
        return read_part(descriptor, offset, _HASHED)
