"""One browser that looks: it gets the newest state, never a queue of old ones."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

from vla_rl_nodes.operator.answer import Answer
from vla_rl_nodes.operator.page_socket import PageSocket

WINDOW = 4  # states under way at the most; a browser says which it has shown
STUCK_S = 10.0  # without showing any, a browser is let go
MOST_ANSWERS = 32


class Viewer:
    """Sends states and answers to one WebSocket from a task of its own.

    Args:
        number: of the connection.
        socket: prepared.
        stays: whether it may go on looking.
    """

    def __init__(self, number: int, socket: PageSocket, stays: Callable[[], bool]) -> None:
        self.number, self.socket, self.stays = number, socket, stays
        self.trace_number = 0
        self.plan_ms = 0.0
        self.skipped = 0
        self._sent = self._seen = 0
        self._moved_s = time.monotonic()
        self._state = ""
        self._answers: list[str] = []
        self._wake = asyncio.Event()

    @property
    def ready(self) -> bool:
        """Whether it has shown enough of what it was sent to get the next state."""
        return self._sent - self._seen < WINDOW and not self._state

    @property
    def stuck(self) -> bool:
        """Whether it has shown nothing for too long."""
        return not self.ready and time.monotonic() - self._moved_s > STUCK_S

    def seen(self, number: int) -> None:
        """It has shown a state."""
        if self._seen < number <= self._sent:
            self._seen, self._moved_s = number, time.monotonic()

    def show(self, state: dict[str, Any]) -> None:
        """A new state, while ``ready``."""
        if self._sent == self._seen:
            self._moved_s = time.monotonic()
        self._sent += 1
        self._state = json.dumps(
            {"kind": "state", "number": self._sent, **state}, allow_nan=False,
            separators=(",", ":"),
        )  # fmt: skip
        self._wake.set()

    def answer(self, n: int, what: str, answer: Answer) -> None:
        """What became of a command."""
        if len(self._answers) < MOST_ANSWERS:
            told = {"kind": "answer", "n": n, "what": what, "ok": answer.ok, "text": answer.text}
            self._answers.append(json.dumps(told))
            self._wake.set()

    def tell(self, message: dict[str, Any]) -> None:
        """A message of another kind."""
        self._answers.append(json.dumps(message, allow_nan=False))
        self._wake.set()

    async def run(self) -> None:
        """Sends until the connection ends."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            answers, self._answers = self._answers, []
            for text in answers:
                await self.socket.send_str(text)
            if self._state:
                state = self._state
                await self.socket.send_str(state)
                self._state = ""
