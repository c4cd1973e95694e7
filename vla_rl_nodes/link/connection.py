"""One robot's TCP connection: how many there may be, and what malformed HTTP is answered."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections import Counter
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, cast

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from vla_rl_nodes.link.problems import RefusedError
from vla_rl_nodes.link.requests import answer_problem

MOST_CONNECTIONS = 16  # by one certificate
LARGEST_LINE = 4096
LARGEST_FIELD = 4096
MOST_FIELDS = 64
_LINGER_S = 1.0
_SILENT = logging.getLogger("vla_rl_nodes.link.http")
_SILENT.disabled = True


class Connections:
    """Makes the protocol of each connection that TLS has let through.

    Args:
        server: that handles their requests.
        idle_s: how long a connection may ask nothing, or not come to the end of its headers.
        log: told one line per event.
    """

    def __init__(self, server: web.Server, idle_s: float, log: Callable[[str], None]) -> None:
        self._server, self._idle_s, self.log = server, idle_s, log
        self.open: Counter[str] = Counter()

    def __call__(self) -> asyncio.Protocol:
        """The protocol of one connection."""
        return _Connection(self, self._server, self._idle_s)


class _Connection(RequestHandler):
    # aiohttp's own classes have slots; these are this one's.
    __slots__ = ("_connections", "_owner")

    def __init__(self, connections: Connections, server: web.Server, idle_s: float) -> None:
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            keepalive_timeout=idle_s,
            lingering_time=_LINGER_S,
            max_line_size=LARGEST_LINE,
            max_field_size=LARGEST_FIELD,
            max_headers=MOST_FIELDS,
            logger=cast(Any, _SILENT),  # what matters is told in the learner's own lines
            access_log=_SILENT,
            auto_decompress=False,
        )
        self._connections = connections
        self._owner: str | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Counts the connection, and ends it where it is one too many."""
        channel = transport.get_extra_info("ssl_object")
        der = channel.getpeercert(True) if channel is not None else None
        owner = hashlib.sha256(der or b"").hexdigest()
        if self._connections.open[owner] >= MOST_CONNECTIONS:
            assert isinstance(transport, asyncio.Transport)
            transport.abort()
            self._connections.log(f"certificate {owner[:16]} has too many connections")
            return
        self._owner = owner
        self._connections.open[owner] += 1
        super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Counts down."""
        if self._owner is None:
            return
        self._connections.open[self._owner] -= 1
        if not self._connections.open[self._owner]:
            del self._connections.open[self._owner]
        super().connection_lost(exc)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Bytes that are no HTTP request are told like every other problem."""
        if isinstance(exc, ConnectionError):
            raise exc  # nobody is there to be told
        known = HTTPStatus(status)
        said = " ".join(str(exc or message or known.phrase).split())[:120]
        self._connections.log(f"{request.remote}: {status} {said}")
        if request.writer.output_size > 0:
            raise ConnectionError("an answer was under way")
        answer = answer_problem(
            RefusedError(known, "request", "is no valid HTTP request", "read openapi.yaml")
        )
        answer.force_close()
        return answer
