"""The operator's page as an HTTP server."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from itertools import count
from urllib.parse import parse_qs

from aiohttp import WSMsgType, web

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.operator.access import Access
from vla_rl_nodes.operator.camera_feed import CameraFeed
from vla_rl_nodes.operator.client_messages import LARGEST, Seen, parse
from vla_rl_nodes.operator.connections import Connections
from vla_rl_nodes.operator.desk import Desk
from vla_rl_nodes.operator.gate import Gate, add_headers
from vla_rl_nodes.operator.page_files import SAID, page_files
from vla_rl_nodes.operator.page_settings import PageSettings
from vla_rl_nodes.operator.page_socket import PageSocket
from vla_rl_nodes.operator.robot_side import RobotSide
from vla_rl_nodes.operator.state_feed import StateFeed
from vla_rl_nodes.operator.tls import tls_context
from vla_rl_nodes.operator.token_file import read_token
from vla_rl_nodes.operator.viewer import Viewer

FORM = "application/x-www-form-urlencoded"
BODY_S = 5.0
LONGEST_LOGIN = 8192
FULL = 4001  # a WebSocket's code: there are as many viewers as there may be


class PageServer:
    """Serves one robot's page.

    Args:
        settings: address, token, limits.
        robot: what is shown and commanded.

    Raises:
        InputError: the token or a file cannot be used.
    """

    def __init__(self, settings: PageSettings, robot: RobotSide) -> None:
        self._settings, self._robot = settings, robot
        token = None if settings.token_file is None else read_token(settings.token_file)
        self._access = Access(token, settings.session_h * 3600.0)
        self._cookie = f"vla_rl_page_{settings.listen.port}"
        self._gate = Gate(self._access, settings.hosts, self._cookie, robot)
        self._files = page_files()
        self._about = robot.about()
        self.desk = Desk(robot, settings.answer_s)
        self._feed = StateFeed(robot, self.desk)
        self._cameras = CameraFeed(robot, len(self._about["cameras"]), settings.pictures)
        self._tls = None if settings.tls is None else tls_context(settings.tls)
        self._numbers = count(1)
        self.connections: Connections | None = None  # while it listens
        self.over = asyncio.Event()  # set when it is to end, or cannot go on
        self.problem = ""  # why it cannot

    async def open(self, stack: AsyncExitStack) -> str:
        """Listens, until the stack is closed.

        Returns:
            The page's address.

        Raises:
            InputError: the address cannot be listened on.
        """
        app = web.Application(middlewares=[self._gate.middleware()], client_max_size=LONGEST_LOGIN)
        app.on_response_prepare.append(add_headers)
        app.add_routes(
            [
                web.get("/", self._page), web.get("/login", self._login_page),
                web.post("/login", self._login), web.post("/logout", self._logout),
                web.post("/e_stop", self._e_stop), web.get("/state", self._watch),
                web.get("/cameras", self._look), web.get("/{name}", self._file),
            ]
        )  # fmt: skip
        runner = web.AppRunner(app, handle_signals=False, shutdown_timeout=1.0, access_log=None)
        await runner.setup()
        assert runner.server is not None
        self.connections = Connections(runner.server, self._tls)
        stack.callback(self.connections.slots.end)
        stack.push_async_callback(runner.cleanup)
        loop, listen = asyncio.get_running_loop(), self._settings.listen
        try:
            server = await loop.create_server(self.connections, listen.host, listen.port)
        except OSError as error:
            reason = (error.strerror or "failed").lower()
            raise InputError(
                f"{listen.host} port {listen.port}", f"cannot be listened on ({reason})",
                "free the port, or change listen in page.yaml",
            ) from error  # fmt: skip
        stack.push_async_callback(self._leave)
        stack.callback(server.close)
        for work, ended in (
            (self.desk.run(), self._ended), (self._feed.run(), self._ended),
            (self._cameras.run(), self._blind),
        ):  # fmt: skip
            task = asyncio.create_task(work)
            task.add_done_callback(ended)
            stack.callback(task.cancel)
        host, port = server.sockets[0].getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        return f"{'http' if self._tls is None else 'https'}://{shown}:{port}/"

    def _ended(self, task: asyncio.Task[None]) -> None:
        """A part that should run for ever has failed: nothing works without it."""
        if not task.cancelled() and task.exception() is not None:
            self.problem = f"{task.exception()!r}"
            self.over.set()

    def _blind(self, task: asyncio.Task[None]) -> None:
        """Without pictures everything else goes on."""
        if not task.cancelled() and task.exception() is not None:
            self._robot.complain(f"page: the cameras are not shown any more: {task.exception()!r}")

    async def _leave(self) -> None:
        await self.desk.close()
        sockets = [viewer.socket for viewer in self._feed.viewers.values()]
        sockets += self._cameras.sockets
        await asyncio.gather(
            *(socket.close(code=1001, message=b"the server ends") for socket in sockets),
            return_exceptions=True,
        )

    # --- pages

    async def _page(self, request: web.Request) -> web.Response:
        return self._give("page.html")

    async def _file(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if name.endswith(".html") or name not in self._files:
            raise web.HTTPNotFound
        return self._give(name)

    def _give(self, name: str, status: int = 200, said: str = "") -> web.Response:
        data, kind = self._files[name]
        if name == "login.html":
            data = data.replace(SAID.encode(), said.encode())
        return web.Response(body=data, status=status, content_type=kind, charset="utf-8")

    # --- token and session

    async def _login_page(self, request: web.Request) -> web.Response:
        if self._gate.admitted(request).taken:
            return web.Response(status=303, headers={"Location": "/"})
        return self._give("login.html")

    async def _login(self, request: web.Request) -> web.Response:
        if request.content_type != FORM:
            raise web.HTTPUnsupportedMediaType
        try:
            async with asyncio.timeout(BODY_S):
                body = (await request.read()).decode("utf-8", "replace")
        except TimeoutError:
            raise web.HTTPRequestTimeout from None
        fields = parse_qs(body[:LONGEST_LOGIN].partition("&")[0])
        verdict = self._gate.tried(fields.get("token", [""])[0].strip(), request)
        if not verdict.taken:
            said = f"The token is wrong. Wait {verdict.wait_s:.0f} s before the next try."
            response = self._give("login.html", 401, said)
            response.headers["Retry-After"] = str(max(1, round(verdict.wait_s)))
            return response
        response = web.Response(status=303, headers={"Location": "/"})
        if not self._access.is_open:
            response.set_cookie(
                self._cookie, self._access.session(time.time()), path="/", httponly=True,
                samesite="Strict", secure=self._tls is not None,
                max_age=round(self._settings.session_h * 3600.0),
            )  # fmt: skip
        return response

    async def _logout(self, request: web.Request) -> web.Response:
        self._gate.end_session(request)  # its open WebSockets end at their next look
        response = web.Response(status=303, headers={"Location": "/login"})
        response.del_cookie(self._cookie, path="/")
        return response

    # --- what acts

    async def _e_stop(self, request: web.Request) -> web.Response:
        """For a browser whose WebSocket is not there at the moment."""
        answer = self.desk.press(f"{request.remote} without its connection")
        return web.json_response({"ok": answer.ok, "text": answer.text})

    async def _watch(self, request: web.Request) -> web.WebSocketResponse:
        socket = PageSocket(LARGEST)
        await socket.prepare(request)
        if len(self._feed.viewers) >= self._settings.viewers_max:
            await socket.close(code=FULL, message=b"there are as many viewers as there may be")
            return socket
        viewer = Viewer(next(self._numbers), socket, self._gate.stays(request))
        viewer.tell({"kind": "about", **self._about, "closed": not self._access.is_open})
        self._feed.viewers[viewer.number] = viewer
        sending = asyncio.create_task(viewer.run())
        try:
            await self._converse(viewer)
        finally:
            del self._feed.viewers[viewer.number]
            self.desk.gone(viewer.number)
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
        return socket

    async def _converse(self, viewer: Viewer) -> None:
        async for message in viewer.socket.heard():
            if message.type is not WSMsgType.TEXT:
                await viewer.socket.close(code=1003, message=b"only text is understood")
                return
            try:
                parsed = parse(message.data)
            except InputError as error:
                self._robot.complain(f"page: {error}")
                await viewer.socket.close(code=1008, message=b"no message of this page")
                return
            if isinstance(parsed, Seen):
                viewer.seen(parsed.number)
            else:
                self.desk.handle(viewer.number, parsed, viewer.answer)
        if viewer.socket.flooded:
            self._robot.complain("page: a viewer sends too much")

    async def _look(self, request: web.Request) -> web.WebSocketResponse:
        socket = PageSocket(64)
        await socket.prepare(request)
        if len(self._cameras.sockets) >= self._settings.viewers_max:
            await socket.close(code=FULL, message=b"there are as many viewers as there may be")
        else:
            await self._cameras.serve(socket, self._gate.stays(request))
        return socket
