"""A browser of a few lines: it shows what the page's server says, and asks."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

PATIENCE_S = 20.0


class Browser:
    """One WebSocket that shows what it gets."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self.states: list[dict[str, Any]] = []
        self.answers: list[dict[str, Any]] = []
        self.about: dict[str, Any] = {}
        self.shows = True
        self.n = 0

    async def hear(self) -> None:
        """Until the connection ends."""
        async for message in self.socket:
            said = json.loads(message.data)
            if said["kind"] == "state":
                self.states.append(said)
                if self.shows:
                    await self.send(kind="seen", number=said["number"])
            elif said["kind"] == "answer":
                self.answers.append(said)
            else:
                self.about = said

    async def send(self, **message: Any) -> None:
        """A message."""
        await self.socket.send_str(json.dumps(message))

    async def ask(self, **message: Any) -> dict[str, Any]:
        """A message that is answered; its answer."""
        self.n += 1
        number = self.n
        await self.send(n=number, **message)
        answer: dict[str, Any] = await until(
            lambda: next((a for a in self.answers if a["n"] == number), None)
        )
        return answer

    async def state(self, condition: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
        """The first state from now on that is as wanted."""
        since = len(self.states)
        state: dict[str, Any] = await until(
            lambda: next((s for s in self.states[since:] if condition(s)), None)
        )
        return state


@asynccontextmanager
async def opened(
    session: aiohttp.ClientSession, address: str, **headers: str
) -> AsyncIterator[Browser]:
    """Opens the WebSocket of the page at an address."""
    async with session.ws_connect(address + "state", headers=headers) as socket:
        browser = Browser(socket)
        hearing = asyncio.create_task(browser.hear())
        try:
            yield browser
        finally:
            hearing.cancel()
            await asyncio.gather(hearing, return_exceptions=True)


async def until(condition: Callable[[], Any]) -> Any:
    """What a condition gives once it is true."""
    async with asyncio.timeout(PATIENCE_S):
        while not (value := condition()):
            await asyncio.sleep(0.005)
    return value


def run(scenario: Callable[[], Awaitable[None]], limit_s: float = 60.0) -> None:
    """Runs a coroutine, and not for ever."""

    async def limited() -> None:
        async with asyncio.timeout(limit_s):
            await scenario()

    asyncio.run(limited())
