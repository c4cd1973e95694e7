"""One browser's connection: it takes a slot, and bytes that are no HTTP get one line."""

from __future__ import annotations

import asyncio
import logging
import ssl
from typing import Any, cast

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from vla_rl_nodes.operator.handshake import Handshake
from vla_rl_nodes.operator.slots import Slot, Slots

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
        tls: certificate and key, where HTTPS is spoken.
    """

    def __init__(self, server: web.Server, tls: ssl.SSLContext | None) -> None:
        self._server, self._tls = server, tls
        self.slots = Slots()

    def __call__(self) -> asyncio.Protocol:
        """The protocol of one connection."""
        if self._tls is None:
            return _Connection(self._server, self.slots)
        return Handshake(self.slots, self._tls, self._inside)

    def _inside(self, slot: Slot) -> asyncio.Protocol:
        return _Connection(self._server, self.slots, slot)


class _Connection(RequestHandler):
    # aiohttp's own classes have slots; these are this one's.
    __slots__ = ("_slot", "_slots")

    def __init__(self, server: web.Server, slots: Slots, slot: Slot | None = None) -> None:
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
        self._slots, self._slot = slots, slot

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Takes a slot, where it has none from its handshake."""
        if self._slot is None:
            self._slot = self._slots.take(transport)
        if self._slot is not None:
            super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Gives the slot back."""
        if self._slot is not None:
            self._slot.free()
            super().connection_lost(exc)

    def set_parser(self, *arguments: Any, **named: Any) -> None:
        """A WebSocket is spoken from here on."""
        if self._slot is not None:
            self._slot.look()
        super().set_parser(*arguments, **named)

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
