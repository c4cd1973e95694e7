"""Episodes on their way in: offered, received part by part, checked, committed exactly once."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import ParamSpec, TypeVar

from pydantic import ValidationError

from vla_rl_nodes.bags.manifest import Manifest
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.link.blobs import Blobs
from vla_rl_nodes.link.checker import Checker, UncheckedError
from vla_rl_nodes.link.disk_thread import DiskThread
from vla_rl_nodes.link.problems import RefusedError, refused
from vla_rl_nodes.link.protocol import EpisodeState
from vla_rl_nodes.link.records import CONTRACT_KEY, Records, robot_of
from vla_rl_nodes.link.settings import LearnerSettings, Robot

MOST_OFFERS = 256  # that one robot may have open
_DAY_S = 86_400.0
Log = Callable[[str], None]
P = ParamSpec("P")
R = TypeVar("R")


@dataclass
class _Open:
    """An upload under way: its whole size and hash, and the bytes that are on the disk."""

    size: int
    sha256: str
    have: int


class Uploads:
    """What the learner knows of uploads; the files and the database are the truth.

    Args:
        blobs: the files; prepared.
        records: the database; used on the thread ``database`` only.
        database: that thread.
        checker: reads whole files.
        settings: those that hold now.
        log: told one line per event.
    """

    def __init__(
        self,
        blobs: Blobs,
        records: Records,
        database: DiskThread,
        checker: Checker,
        settings: Callable[[], LearnerSettings],
        log: Log,
    ) -> None:
        self._blobs, self._records, self._database = blobs, records, database
        self._checker, self._settings, self._log = checker, settings, log
        self._open: dict[tuple[str, str], _Open] = {}
        self._promised = asyncio.Lock()
        self._writers: weakref.WeakValueDictionary[tuple[str, str], asyncio.Lock] = (
            weakref.WeakValueDictionary()
        )

    async def load(self) -> None:
        """Takes up the uploads that lie in the folder."""
        for robot, episode_id, _ in await asyncio.to_thread(lambda: list(self._blobs.offers())):
            text = await asyncio.to_thread(self._blobs.offer, robot, episode_id)
            try:
                manifest = Manifest.model_validate_json(text)
            except ValidationError:
                await asyncio.to_thread(self._blobs.forget, robot, episode_id)
                self._log(f"episode {robot}/{episode_id} forgotten: its offer is damaged")
                continue
            have = await asyncio.to_thread(self._blobs.have, robot, episode_id)
            self._open[robot, episode_id] = _Open(manifest.size, manifest.sha256, have)

    async def forget_old(self) -> None:
        """Throws away uploads that nobody went on with."""
        limit_s = self._settings().unfinished_days * _DAY_S
        for robot, episode_id, age_s in await asyncio.to_thread(
            lambda: list(self._blobs.offers())
        ):
            if age_s > limit_s:
                async with self._writer(robot, episode_id):
                    self._open.pop((robot, episode_id), None)
                    await asyncio.to_thread(self._blobs.forget, robot, episode_id)
                self._log(f"episode {robot}/{episode_id} forgotten: its upload was not ended")

    async def used(self, robot: str) -> int:
        """Bytes of a robot's episodes, stored and promised to those under way."""
        stored = await self._database(self._records.used, robot)
        return stored + sum(o.size for (name, _), o in self._open.items() if name == robot)

    async def state(self, robot: str, episode_id: str) -> EpisodeState:
        """How far an upload is.

        Raises:
            RefusedError: it was never offered.
        """
        stored = await self._stored(robot, episode_id)
        if stored is not None:
            return stored
        upload = self._open.get((robot, episode_id))
        if upload is None:
            raise RefusedError(
                HTTPStatus.NOT_FOUND, f"episode {episode_id}", "is not known", "offer it first"
            )
        return EpisodeState(state="open", offset=upload.have)

    async def offer(self, name: str, robot: Robot, episode_id: str, body: bytes) -> EpisodeState:
        """Takes a manifest, or says why not.

        Raises:
            RefusedError: with the reason.
        """
        manifest = await asyncio.to_thread(_manifest, name, robot, episode_id, body)
        async with self._writer(name, episode_id):
            known = await self._stored(name, episode_id)
            upload = self._open.get((name, episode_id))
            if known is not None:
                _same(manifest, known.sha256, known.size)
                return known
            if upload is not None:
                _same(manifest, upload.sha256, upload.size)
            async with self._promised:  # two offers at once must not both get the last bytes
                if upload is None:
                    await self._check_room(name, robot, manifest)
                await self._written(self._blobs.write_offer, name, episode_id, body)
                if upload is None:
                    upload = _Open(manifest.size, manifest.sha256, 0)
                    self._open[name, episode_id] = upload
                    self._log(f"episode {name}/{episode_id} offered: {manifest.size} bytes")
            return EpisodeState(state="open", offset=upload.have)

    async def part(
        self, name: str, robot: Robot, episode_id: str, offset: int, sha256: str, data: bytes
    ) -> EpisodeState:
        """Takes a part, and concludes the upload with the last one.

        Raises:
            RefusedError: with the reason; nothing of the part is kept then.
        """
        place = f"episode {episode_id}"
        found = await asyncio.to_thread(lambda: hashlib.sha256(data).hexdigest())
        if found != sha256:
            raise RefusedError(
                HTTPStatus.BAD_REQUEST, place, "a part came with another sha256", "send it again"
            )
        async with self._writer(name, episode_id):
            known = await self._stored(name, episode_id)
            if known is not None:
                return known
            upload = self._open.get((name, episode_id))
            if upload is None:
                raise RefusedError(
                    HTTPStatus.NOT_FOUND, place, "was not offered", "offer its manifest first"
                )
            if offset != upload.have:
                raise RefusedError(
                    HTTPStatus.CONFLICT, place, f"stands at byte {upload.have}, not {offset}",
                    "go on from there", upload.have,
                )  # fmt: skip
            if offset + len(data) > upload.size:
                raise RefusedError(
                    HTTPStatus.REQUEST_ENTITY_TOO_LARGE, place,
                    f"has {upload.size} bytes, the part ends at {offset + len(data)}",
                    "send what its manifest names",
                )  # fmt: skip
            if data:
                await self._written(self._blobs.append, name, episode_id, offset, data)
                upload.have += len(data)
            if upload.have < upload.size:
                return EpisodeState(state="open", offset=upload.have)
            return await self._conclude(name, robot, episode_id, upload)

    async def _conclude(
        self, name: str, robot: Robot, episode_id: str, upload: _Open
    ) -> EpisodeState:
        text = await asyncio.to_thread(self._blobs.offer, name, episode_id)
        manifest = _manifest(name, robot, episode_id, text)  # the list may be a newer one
        file = await self._written(self._blobs.stage, name, episode_id)
        try:
            await self._checker.check(file, text)
        except UncheckedError as error:
            await asyncio.to_thread(self._blobs.unstage, name, episode_id)
            raise RefusedError(
                HTTPStatus.SERVICE_UNAVAILABLE, f"episode {episode_id}",
                f"could not be checked: {error}", "ask again later",
            ) from error  # fmt: skip
        except InputError as error:
            upload.have = 0
            await asyncio.to_thread(self._blobs.drop, name, episode_id)
            raise refused(HTTPStatus.UNPROCESSABLE_ENTITY, error) from error
        try:
            await self._written(self._blobs.publish, name, episode_id, text)
        except RefusedError:
            await asyncio.to_thread(self._blobs.unstage, name, episode_id)
            raise
        try:
            await self._database(self._records.add, name, manifest)
        except InputError:
            await asyncio.to_thread(self._blobs.withdraw, name, episode_id)
            raise
        del self._open[name, episode_id]
        await asyncio.to_thread(self._blobs.forget, name, episode_id)
        self._log(
            f"episode {name}/{episode_id} stored: {manifest.outcome}, {manifest.size} bytes,"
            f" sha256 {manifest.sha256}"
        )
        return EpisodeState(state="stored", sha256=manifest.sha256, size=manifest.size)

    async def _stored(self, robot: str, episode_id: str) -> EpisodeState | None:
        row = await self._database(self._records.episode, robot, episode_id)
        if row is None:
            return None
        return EpisodeState(state="stored", sha256=row.sha256, size=row.size)

    async def _check_room(self, name: str, robot: Robot, manifest: Manifest) -> None:
        settings = self._settings()
        place = f"episode {manifest.episode_id}"
        used = await self.used(name)
        free = await asyncio.to_thread(self._blobs.free_bytes) - settings.keep_free_bytes
        free -= sum(o.size - o.have for o in self._open.values())
        count = sum(robot_name == name for robot_name, _ in self._open)
        for wrong, problem, remedy in (
            (manifest.size > settings.episode_bytes_max,
             f"is larger than {settings.episode_bytes_max} bytes", "end episodes earlier"),
            (used + manifest.size > robot.quota_bytes,
             f"exceeds the quota of {robot.quota_bytes} bytes", "raise quota_bytes, or clear"),
            (count >= MOST_OFFERS, f"is one upload too many: {count} are open", "end those first"),
            (manifest.size > free, "does not fit on the learner's disk", "free space there"),
        ):  # fmt: skip
            if wrong:
                raise RefusedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, place, problem, remedy)

    async def _written(self, write: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Writes on a thread.

        Raises:
            RefusedError: the disk is full or fails.
        """
        try:
            return await asyncio.to_thread(write, *args, **kwargs)
        except OSError as error:
            reason = (error.strerror or "input/output error").lower()
            self._log(f"disk: {error.filename or self._blobs.folder}: {reason}")
            full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
            raise RefusedError(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE if full else HTTPStatus.SERVICE_UNAVAILABLE,
                "the learner's disk", reason, "free space there" if full else "look at that disk",
            ) from error  # fmt: skip

    def _writer(self, robot: str, episode_id: str) -> asyncio.Lock:
        """One writer per episode; a lock lives as long as somebody holds or awaits it."""
        return self._writers.setdefault((robot, episode_id), asyncio.Lock())


def _manifest(name: str, robot: Robot, episode_id: str, body: bytes) -> Manifest:
    """The manifest in a body, when this robot may send that episode."""
    place = f"episode {episode_id}"
    try:
        manifest = Manifest.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        key = ".".join(str(part) for part in first["loc"])[:80] or "the body"
        raise RefusedError(
            HTTPStatus.UNPROCESSABLE_ENTITY, place, f"manifest: {key}: {first['msg'].lower()}",
            "send the bag's manifest.json",
        ) from error  # fmt: skip
    contract = manifest.metadata.get(CONTRACT_KEY, "")
    for wrong, problem, remedy in (
        (manifest.episode_id != episode_id, "has the manifest of another one", "send its own"),
        (manifest.file != f"{episode_id}.mcap", "has a file of another name", "send it as it is"),
        (robot_of(manifest.metadata) != name, "is another robot's",
         "send each robot's own; a robot that has a name of its own gives it to its recorder"
         f" (robot_name:={name})"),
        (contract not in robot.contracts,
         "has a contract that is not taken from this robot", "list its sha256 in learner.yaml"),
    ):  # fmt: skip
        if wrong:
            raise RefusedError(HTTPStatus.UNPROCESSABLE_ENTITY, place, problem, remedy)
    return manifest


def _same(manifest: Manifest, sha256: str, size: int) -> None:
    if (manifest.sha256, manifest.size) != (sha256, size):
        raise RefusedError(
            HTTPStatus.CONFLICT, f"episode {manifest.episode_id}",
            "is known with another content", "give each episode its own id",
        )  # fmt: skip
