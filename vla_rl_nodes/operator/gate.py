"""What every request passes first: its host, its origin, and whether it may look at all."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from aiohttp import web
from aiohttp.typedefs import Middleware

from vla_rl_nodes.operator.access import Access, Verdict
from vla_rl_nodes.operator.origin import host_refused, origin_refused
from vla_rl_nodes.operator.robot_side import RobotSide

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

PUBLIC = ("/login", "/login.css", "/icon.svg")
BEARER = "bearer "
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self';"
    " img-src 'self'; connect-src 'self'; form-action 'self'; frame-ancestors 'none';"
    " base-uri 'none'; require-trusted-types-for 'script'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",  # with none, a form's origin would be null
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Gate:
    """Decides who comes further.

    Args:
        access: token and sessions.
        hosts: names that the page is opened under, besides addresses and localhost.
        cookie: name of the session's cookie.
        robot: its log.
    """

    def __init__(
        self, access: Access, hosts: tuple[str, ...], cookie: str, robot: RobotSide
    ) -> None:
        self._access, self._hosts, self._cookie, self._robot = access, hosts, cookie, robot

    def middleware(self) -> Middleware:
        """Goes around every handler."""

        @web.middleware
        async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
            try:
                return self._refusal(request) or await handler(request)
            except web.HTTPException as error:
                if error.status < 400:
                    raise
                return line(error.status, "nothing is here for such a request")
            except (ConnectionError, asyncio.CancelledError):
                raise
            except Exception as error:
                trace = error.__traceback__
                while trace is not None and trace.tb_next is not None:
                    trace = trace.tb_next
                at = f"{trace.tb_frame.f_code.co_qualname}:{trace.tb_lineno}" if trace else "?"
                self._robot.complain(f"page: {type(error).__name__} in {at}")
                return line(500, "the page's server failed; read the log of operator_page")

        return guarded

    def admitted(self, request: web.Request) -> Verdict:
        """Whether who asks has given the token, now or before."""
        if self._access.is_open:
            return Verdict(True)
        if self._access.session_holds(request.cookies.get(self._cookie, ""), time.time()):
            return Verdict(True)
        given = request.headers.get("Authorization", "")
        if given.lower().startswith(BEARER):
            return self.tried(given[len(BEARER) :].strip(), request)
        return Verdict(False)

    def stays(self, request: web.Request) -> Callable[[], bool]:
        """Whether who was admitted still is: asked for as long as its WebSocket is open.

        A session may end; who gave the token itself stays.
        """
        text = request.cookies.get(self._cookie, "")
        if self._access.is_open or not self._access.session_holds(text, time.time()):
            return lambda: True
        return lambda: self._access.session_holds(text, time.time())

    def end_session(self, request: web.Request) -> None:
        """Who asks wants its session to be over."""
        self._access.end_session(request.cookies.get(self._cookie, ""), time.time())

    def tried(self, token: str, request: web.Request) -> Verdict:
        """What becomes of a token that somebody gives."""
        address = str(request.remote)
        verdict = self._access.try_token(token, address, time.monotonic())
        if not verdict.taken:
            self._robot.complain(f"page: a wrong token from {address}")
        return verdict

    def _refusal(self, request: web.Request) -> web.StreamResponse | None:
        transport = request.transport
        own = transport.get_extra_info("sockname") if transport is not None else None
        if host_refused(request.headers.get("Host"), str(own[0]) if own else "", self._hosts):
            self._robot.complain(f"page: {request.remote} asked for a host that is not this one")
            return line(421, "the page is not served under this name; see hosts in page.yaml")
        acts = request.method not in ("GET", "HEAD") or "Upgrade" in request.headers
        if acts and origin_refused(request.headers, request.scheme):
            self._robot.complain(f"page: {request.remote} came from another page")
            return line(403, "another page may not do this")
        if request.path in PUBLIC:
            return None
        verdict = self.admitted(request)
        if verdict.taken:
            return None
        if request.path == "/" and "Authorization" not in request.headers:
            return web.Response(status=303, headers={"Location": "/login"})
        return refused(verdict)


def refused(verdict: Verdict) -> web.Response:
    """Who gave a wrong token, or none, is told so in one line."""
    response = line(401, "the token is missing or wrong")
    if verdict.wait_s:
        response = line(401, f"the token is wrong; wait {verdict.wait_s:.0f} s before the next")
        response.headers["Retry-After"] = str(max(1, round(verdict.wait_s)))
    response.headers["WWW-Authenticate"] = "Bearer"
    return response


def line(status: int, text: str) -> web.Response:
    """One line of plain text."""
    return web.Response(status=status, text=f"{text}\n")


async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """What browsers are told with every answer."""
    response.headers.update(HEADERS)
