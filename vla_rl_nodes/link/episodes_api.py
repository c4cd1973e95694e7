"""The routes of episodes."""

from __future__ import annotations

import re
from collections.abc import Callable
from http import HTTPStatus

from aiohttp import web

from vla_rl_nodes.link.blobs import Blobs
from vla_rl_nodes.link.problems import RefusedError
from vla_rl_nodes.link.protocol import (
    LARGEST_JSON,
    OFFSET_HEADER,
    PART_HASH_HEADER,
    PROTOCOL,
    ServerStatus,
)
from vla_rl_nodes.link.requests import RIGHTS, ROBOT, answer, body, identifier
from vla_rl_nodes.link.settings import LearnerSettings
from vla_rl_nodes.link.uploads import Uploads

_OFFSET = re.compile(r"[0-9]{1,16}", re.ASCII)
_SHA256 = re.compile(r"[0-9a-f]{64}")


class EpisodesApi:
    """``/v1/status`` and ``/v1/episodes/{id}``.

    Args:
        uploads: what they change.
        blobs: for the space on the disk.
        settings: those that hold now.
    """

    def __init__(
        self, uploads: Uploads, blobs: Blobs, settings: Callable[[], LearnerSettings]
    ) -> None:
        self._uploads, self._blobs, self._settings = uploads, blobs, settings

    def routes(self) -> list[web.RouteDef]:
        """The routes, for an application."""
        return [
            web.get("/v1/status", self._status, allow_head=False),
            web.put("/v1/episodes/{id}", self._offer),
            web.get("/v1/episodes/{id}", self._state, allow_head=False),
            web.patch("/v1/episodes/{id}", self._part),
        ]

    async def _status(self, request: web.Request) -> web.Response:
        settings, rights = self._settings(), request[RIGHTS]
        free = self._blobs.free_bytes() - settings.keep_free_bytes
        return answer(
            ServerStatus(
                protocol=PROTOCOL,
                learner=settings.learner,
                robot=request[ROBOT],
                quota_bytes=rights.quota_bytes,
                used_bytes=await self._uploads.used(request[ROBOT]),
                free_bytes=max(0, free),
                contracts=list(rights.contracts),
                part_bytes=settings.part_bytes,
            )
        )

    async def _offer(self, request: web.Request) -> web.Response:
        episode_id = identifier(request, "id")
        manifest = await body(request, LARGEST_JSON, self._settings().patience_s)
        return answer(
            await self._uploads.offer(request[ROBOT], request[RIGHTS], episode_id, manifest)
        )

    async def _state(self, request: web.Request) -> web.Response:
        return answer(await self._uploads.state(request[ROBOT], identifier(request, "id")))

    async def _part(self, request: web.Request) -> web.Response:
        episode_id = identifier(request, "id")
        offset = _header(request, OFFSET_HEADER, _OFFSET, "the number of the first byte")
        sha256 = _header(request, PART_HASH_HEADER, _SHA256, "64 hex digits")
        settings = self._settings()
        data = await body(request, settings.part_bytes, settings.patience_s)
        return answer(
            await self._uploads.part(
                request[ROBOT], request[RIGHTS], episode_id, int(offset), sha256, data
            )
        )


def _header(request: web.Request, name: str, pattern: re.Pattern[str], what: str) -> str:
    values = request.headers.getall(name, [])
    if len(values) != 1 or not pattern.fullmatch(values[0]):
        raise RefusedError(
            HTTPStatus.BAD_REQUEST, f"header {name}", f"is not {what}", "send it once, in full"
        )
    return values[0]
