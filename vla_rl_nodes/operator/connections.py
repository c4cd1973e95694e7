"""One browser's TCP connection: how many there may be, and what bytes that are no HTTP get."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from typing import Any, cast

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

MOST = 128
MOST_OF_ONE = 48
IDLE_S = 20.0
LARGEST_LINE = 4096
LARGEST_FIELD = 8190
MOST_FIELDS = 64
_SILENT = logging.getLogger("vla_rl_nodes.operator.http")
_SILENT.disabled = True


class Connections:
    """Makes the protocol of each connection.

    Args:
        server: that handles their requests.
    """

    def __init__(self, server: web.Server) -> None:
        self._server = server
        self.open: Counter[str] = Counter()

    def __call__(self) -> asyncio.Protocol:
        """The protocol of one connection."""
        return _Connection(self, self._server)

    def is_full(self, who: str) -> bool:
        """Whether one more of an address is too many."""
        return self.open[who] >= MOST_OF_ONE or self.open.total() >= MOST


class _Connection(RequestHandler):
    # aiohttp's own classes have slots; these are this one's.
    __slots__ = ("_connections", "_owner")

    def __init__(self, connections: Connections, server: web.Server) -> None:
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            keepalive_timeout=IDLE_S,
            max_line_size=LARGEST_LINE,
            max_field_size=LARGEST_FIELD,
            max_headers=MOST_FIELDS,
            logger=cast(Any, _SILENT),  # what matters is told in the page's own lines
            access_log=_SILENT,
            auto_decompress=False,
        )
        self._connections = connections
        self._owner: str | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Counts the connection, and ends it where it is one too many."""
        peer = transport.get_extra_info("peername")
        owner = str(peer[0]) if peer else ""
        if self._connections.is_full(owner):
            assert isinstance(transport, asyncio.Transport)
            transport.abort()
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
        """Bytes that are no HTTP request: one line, and nothing of them is repeated."""
        if isinstance(exc, ConnectionError):
            raise exc  # nobody is there to be told
        if request.writer.output_size > 0:
            raise ConnectionError("an answer was under way")
        answer = web.Response(status=status, text="this is no request that the page understands\n")
        answer.force_close()
        return answer
