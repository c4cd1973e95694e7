"""TLS of one connection: counted from its first byte, and not for long."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from contextlib import suppress

from vla_rl_nodes.operator.slots import Slot, Slots

HANDSHAKE_S = 5.0


class Handshake(asyncio.Protocol):
    """Speaks TLS on a connection, and hands it to the protocol that is spoken inside.

    Args:
        slots: that the connection takes one of.
        context: certificate and key.
        inside: makes the protocol, given the slot.
    """

    def __init__(
        self, slots: Slots, context: ssl.SSLContext, inside: Callable[[Slot], asyncio.Protocol]
    ) -> None:
        self._slots, self._context, self._inside = slots, context, inside
        self._slot: Slot | None = None
        self._task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Counts the connection, and begins."""
        self._slot = self._slots.take(transport)
        if self._slot is not None:
            assert isinstance(transport, asyncio.Transport)
            self._task = asyncio.create_task(self._shake(transport, self._slot))

    async def _shake(self, transport: asyncio.Transport, slot: Slot) -> None:
        early = _Early()
        secured = None
        try:
            # A client that is gone, or speaks no TLS, is nobody's concern.
            with suppress(OSError, ssl.SSLError):
                secured = await asyncio.get_running_loop().start_tls(
                    transport, early, self._context, server_side=True,
                    ssl_handshake_timeout=HANDSHAKE_S, ssl_shutdown_timeout=HANDSHAKE_S,
                )  # fmt: skip
        finally:
            if secured is None or early.over:
                transport.abort()
                slot.free()
        if secured is None or early.over:
            return
        protocol = self._inside(slot)
        secured.set_protocol(protocol)
        protocol.connection_made(secured)
        for data in early.data:
            protocol.data_received(data)


class _Early(asyncio.Protocol):
    """Keeps what comes together with the end of the handshake."""

    def __init__(self) -> None:
        self.data: list[bytes] = []
        self.over = False

    def data_received(self, data: bytes) -> None:
        self.data.append(data)

    def eof_received(self) -> None:
        self.over = True

    def connection_lost(self, exc: Exception | None) -> None:
        self.over = True
