"""A WebSocket of the page: whatever comes over it is counted before anything is done about it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

from aiohttp import WSMessage, WSMsgType, web
from aiohttp.abc import AbstractStreamWriter

BURST, RATE = 300.0, 80.0  # messages at once, and a second
HEARTBEAT_S = 10.0
CLOSE_S = 1.0
OVER = 4002  # its code for: the session is over


class Bucket:
    """How many messages may still come; times are passed in.

    Args:
        now_s: steady clock.
        rate: messages a second.
    """

    def __init__(self, now_s: float, rate: float = RATE) -> None:
        self._left, self._at_s, self._rate = BURST, now_s, rate

    def take(self, now_s: float) -> bool:
        """Whether one more is not too many."""
        self._left = min(BURST, self._left + self._rate * (now_s - self._at_s))
        self._at_s = now_s
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True


class PageSocket(web.WebSocketResponse):
    """One viewer's.

    Args:
        largest: bytes of a message.

    Attributes:
        flooded: whether it was ended because too much came.
    """

    def __init__(self, largest: int) -> None:
        super().__init__(
            heartbeat=HEARTBEAT_S, max_msg_size=largest, compress=False, timeout=CLOSE_S,
            autoping=False,
        )  # fmt: skip
        self.flooded = False
        self._line: asyncio.Transport | None = None
        self._ending: asyncio.Task[bool] | None = None

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter:
        """Answers the browser's handshake."""
        self._line = request.transport
        return await super().prepare(request)

    async def heard(self, rate: float = RATE) -> AsyncIterator[WSMessage]:
        """The messages, until it ends; pings are answered here and count like all others.

        Args:
            rate: messages a second that are not too many.
        """
        bucket = Bucket(time.monotonic(), rate)
        async for message in self:
            if not bucket.take(time.monotonic()):
                self.flooded = True
                self.drop()  # an orderly end would read on
                return
            if message.type is WSMsgType.PING:
                await self.pong(message.data)
            elif message.type is not WSMsgType.PONG:
                yield message

    def session_over(self) -> None:
        """Ends it because its session has ended; nothing more is heard."""
        if self._ending is None:
            over = self.close(code=OVER, message=b"the session is over")
            self._ending = asyncio.create_task(over)

    def drop(self) -> None:
        """Ends it at once."""
        if self._line is not None:
            self._line.abort()
