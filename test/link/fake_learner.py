"""A learner in memory that does what the protocol says, or whatever a test makes it do."""

from __future__ import annotations

import asyncio
import hashlib
import json
import ssl
import threading
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from vla_rl_nodes.closable import Closable

Answer = web.StreamResponse | None
Behaviour = Callable[[web.Request], Awaitable[Answer]]


async def honest(request: web.Request) -> Answer:
    """Answers as it should."""
    return None


class FakeLearner(Closable):
    """Serves on a thread of its own.

    Attributes:
        behave: asked first about every request; None from it means the honest answer.
        seen: (method, path) of every request, in order.
        stored: the files by id, complete and right.
        partial: the files under way.
        bundles: zips by version; the last one is the newest.
        reports: (version, body) in order.
    """

    def __init__(self, tls: ssl.SSLContext) -> None:
        self.behave: Behaviour = honest
        self.seen: list[tuple[str, str]] = []
        self.stored: dict[str, bytes] = {}
        self.partial: dict[str, bytearray] = {}
        self.manifests: dict[str, dict[str, Any]] = {}
        self.bundles: dict[str, bytes] = {}
        self.reports: list[tuple[str, dict[str, Any]]] = []
        self.part_bytes = 1 << 16
        self.port = 0
        self._tls = tls
        self._loop = asyncio.new_event_loop()
        self._up = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self._up.wait(10.0)

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    def count(self, method: str, part: str = "") -> int:
        """How many requests there were."""
        return sum(m == method and part in path for m, path in self.seen)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        runner = web.AppRunner(self._app(), shutdown_timeout=0.1)
        self._loop.run_until_complete(runner.setup())
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=self._tls)
        self._loop.run_until_complete(site.start())
        self.port = runner.addresses[0][1]
        self._up.set()
        self._loop.run_forever()
        self._loop.run_until_complete(runner.cleanup())
        for task in (tasks := asyncio.all_tasks(self._loop)):
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self._loop.close()

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5.0)

    def _app(self) -> web.Application:
        @web.middleware
        async def first(request: web.Request, handler: Any) -> web.StreamResponse:
            self.seen.append((request.method, request.path))
            answer = await self.behave(request)
            return answer if answer is not None else await handler(request)

        app = web.Application(middlewares=[first], client_max_size=1 << 26)
        app.router.add_get("/v1/status", self._status)
        app.router.add_put("/v1/episodes/{id}", self._offer)
        app.router.add_patch("/v1/episodes/{id}", self._part)
        app.router.add_get("/v1/bundles/latest", self._latest)
        app.router.add_get("/v1/bundles/{version}", self._bundle)
        app.router.add_post("/v1/bundles/{version}/state", self._report)
        return app

    async def _status(self, request: web.Request) -> web.Response:
        return web.json_response({
            "protocol": 1, "learner": "fake", "robot": "fr3", "quota_bytes": 1 << 40,
            "used_bytes": 0, "free_bytes": 1 << 40, "contracts": [], "part_bytes": self.part_bytes,
        })  # fmt: skip

    def _state(self, name: str) -> web.Response:
        if name in self.stored:
            data = self.stored[name]
            return web.json_response(
                {"state": "stored", "sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
            )
        return web.json_response({"state": "open", "offset": len(self.partial[name])})

    async def _offer(self, request: web.Request) -> web.Response:
        name = request.match_info["id"]
        self.manifests[name] = json.loads(await request.read())
        self.partial.setdefault(name, bytearray())
        return self._state(name)

    async def _part(self, request: web.Request) -> web.Response:
        name, part = request.match_info["id"], await request.read()
        if name in self.stored:
            return self._state(name)
        partial, manifest = self.partial[name], self.manifests[name]
        if int(request.headers["Upload-Offset"]) != len(partial):
            return problem(409, "stands elsewhere", len(partial))
        if hashlib.sha256(part).hexdigest() != request.headers["Content-SHA256"]:
            return problem(400, "the part is damaged")
        partial += part
        if len(partial) == manifest["size"]:
            if hashlib.sha256(partial).hexdigest() != manifest["sha256"]:
                partial.clear()
                return problem(422, "the whole has another sha256")
            self.stored[name] = bytes(partial)
        return self._state(name)

    async def _latest(self, request: web.Request) -> web.Response:
        newest = next(reversed(self.bundles), "")
        if not newest or newest == request.query.get("after"):
            await asyncio.sleep(min(0.05, float(request.query["wait"])))
            return web.Response(status=204)
        data = self.bundles[newest]
        return web.json_response({
            "version": newest, "sha256": hashlib.sha256(data).hexdigest(), "size": len(data),
            "published_ns": 1,
        })  # fmt: skip

    async def _bundle(self, request: web.Request) -> web.Response:
        data = self.bundles[request.match_info["version"]]
        span = request.http_range
        if span.start is None:
            return web.Response(body=data)
        return web.Response(
            status=206,
            body=data[span.start :],
            headers={"Content-Range": f"bytes {span.start}-{len(data) - 1}/{len(data)}"},
        )

    async def _report(self, request: web.Request) -> web.Response:
        self.reports.append((request.match_info["version"], await request.json()))
        return web.Response(status=204)


def problem(status: int, detail: str, offset: int | None = None) -> web.Response:
    """An error as the protocol has it."""
    body: dict[str, Any] = {
        "title": "no", "detail": detail, "remedy": "do another thing", "status": status,
    }  # fmt: skip
    if offset is not None:
        body["offset"] = offset
    return web.json_response(body, status=status, content_type="application/problem+json")
