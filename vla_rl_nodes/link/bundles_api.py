"""The routes of bundles."""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Callable
from http import HTTPStatus

from aiohttp import web
from pydantic import ValidationError

from vla_rl_nodes.link.bundle_shelf import BundleShelf, Offered
from vla_rl_nodes.link.disk_thread import DiskThread
from vla_rl_nodes.link.problems import RefusedError
from vla_rl_nodes.link.protocol import (
    LARGEST_JSON,
    LONGEST_WAIT_S,
    VERSION_PATTERN,
    BundleAnnouncement,
    BundleReport,
)
from vla_rl_nodes.link.records import Records
from vla_rl_nodes.link.requests import RIGHTS, ROBOT, answer, body, identifier
from vla_rl_nodes.link.settings import LearnerSettings

_PIECE = 1 << 18


class BundlesApi:
    """``/v1/bundles``: a robot sees those that are for its contracts.

    Args:
        shelf: what is offered; None where the learner offers nothing.
        records: for reports, on the thread ``database`` only.
        database: that thread.
        settings: those that hold now.
        log: told one line per event.
    """

    def __init__(
        self,
        shelf: BundleShelf | None,
        records: Records,
        database: DiskThread,
        settings: Callable[[], LearnerSettings],
        log: Callable[[str], None],
    ) -> None:
        self._shelf, self._records, self._database = shelf, records, database
        self._settings, self._log = settings, log
        self._closing = asyncio.Event()

    def routes(self) -> list[web.RouteDef]:
        """The routes, for an application."""
        return [
            web.get("/v1/bundles/latest", self._latest, allow_head=False),
            web.get("/v1/bundles/{version}", self._bundle, allow_head=False),
            web.post("/v1/bundles/{version}/state", self._report),
        ]

    def close(self) -> None:
        """Answers whoever waits."""
        self._closing.set()
        if self._shelf is not None:
            self._shelf.wake()

    async def _latest(self, request: web.Request) -> web.Response:
        after, wait_s = _question(request)
        loop = asyncio.get_running_loop()
        until = loop.time() + wait_s
        while True:
            news = None if self._shelf is None else self._shelf.news
            found = self._newer(request, after)
            left = until - loop.time()
            if found is not None or left <= 0 or self._closing.is_set():
                break
            waiting = self._closing if news is None else news
            try:
                async with asyncio.timeout(left):
                    await waiting.wait()
            except TimeoutError:
                pass
        if found is None:
            return web.Response(status=204)
        return answer(
            BundleAnnouncement(
                version=found.version,
                sha256=found.sha256,
                size=found.size,
                published_ns=found.published_ns,
            )
        )

    def _newer(self, request: web.Request, after: str) -> Offered | None:
        if self._shelf is None:
            return None
        rights = self._settings().robots.get(request[ROBOT])
        contracts = () if rights is None else rights.contracts
        return None if (o := self._shelf.latest(contracts)) and o.version == after else o

    async def _bundle(self, request: web.Request) -> web.StreamResponse:
        version = identifier(request, "version", VERSION_PATTERN)
        contracts = request[RIGHTS].contracts
        offered = None if self._shelf is None else self._shelf.find(version, contracts)
        if offered is None:
            raise RefusedError(
                HTTPStatus.NOT_FOUND, f"bundle {version}", "is not offered", "ask for the latest"
            )
        start, stop = _range(request, offered)
        ranged = "Range" in request.headers
        response = web.StreamResponse(status=206 if ranged else 200)
        response.content_type = "application/zip"
        response.content_length = stop - start
        response.headers["Accept-Ranges"] = "bytes"
        if ranged:
            response.headers["Content-Range"] = f"bytes {start}-{stop - 1}/{offered.size}"
        patience_s = self._settings().patience_s
        # The open file stays what it is, even when the bundle is taken away meanwhile.
        with offered.archive.open("rb") as file:
            file.seek(start)
            await response.prepare(request)
            while start < stop:
                piece = await asyncio.to_thread(file.read, min(_PIECE, stop - start))
                start += len(piece)
                try:
                    async with asyncio.timeout(patience_s):
                        await response.write(piece)
                except TimeoutError:
                    if request.transport is not None:
                        request.transport.abort()  # a polite end would wait for it, too
                    raise ConnectionResetError("the robot takes nothing") from None
            await response.write_eof()
        return response

    async def _report(self, request: web.Request) -> web.Response:
        version = identifier(request, "version", VERSION_PATTERN)
        text = await body(request, LARGEST_JSON, self._settings().patience_s)
        try:
            report = BundleReport.model_validate_json(text)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            key = ".".join(str(part) for part in first["loc"])[:80] or "the body"
            raise RefusedError(
                HTTPStatus.UNPROCESSABLE_ENTITY, f"bundle {version}",
                f"report: {key}: {first['msg'].lower()}", "send what openapi.yaml says",
            ) from error  # fmt: skip
        robot = request[ROBOT]
        if await self._database(self._records.report, robot, version, report):
            reason = " ".join(report.reason.split())
            self._log(
                f"bundle {version} {report.state} on {robot}{': ' if reason else ''}{reason}"
            )
        return web.Response(status=204)


def _question(request: web.Request) -> tuple[str, float]:
    after = request.query.get("after", "")
    try:
        wait_s = float(request.query.get("wait", "0"))
    except ValueError:
        wait_s = math.nan
    if not 0 <= wait_s <= LONGEST_WAIT_S:
        raise RefusedError(
            HTTPStatus.BAD_REQUEST, "wait", "is no number of seconds from 0 to 60", "correct it"
        )
    if after and not re.fullmatch(VERSION_PATTERN, after):
        raise RefusedError(HTTPStatus.BAD_REQUEST, "after", "is no version", "correct it")
    return after, wait_s


def _range(request: web.Request, offered: Offered) -> tuple[int, int]:
    """The first byte that is asked for, and the one behind the last."""
    try:
        start, stop, _ = request.http_range.indices(offered.size)
    except ValueError:
        start, stop = 1, 0
    if start >= stop:
        raise RefusedError(
            HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, f"bundle {offered.version}",
            f"has {offered.size} bytes, not that range", "ask for one range of bytes in it",
        )  # fmt: skip
    return start, stop
