"""The page's server in a thread of its own, beside the node's executor."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress

from vla_rl_nodes.operator.page_server import PageServer

_ENDING_S = 5.0


class ServerThread:
    """Runs a server until it is closed.

    Args:
        server: not yet open.
        failed: told in one line, in the server's thread, when it cannot go on.
    """

    def __init__(self, server: PageServer, failed: Callable[[str], None]) -> None:
        self._server, self._failed = server, failed
        self._opened = threading.Event()
        self._problem: Exception | None = None
        self._address = ""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run, name="page", daemon=True)

    def start(self) -> str:
        """Starts listening; returns the page's address.

        Raises:
            InputError: it cannot be listened on.
        """
        self._thread.start()
        self._opened.wait()
        if self._problem is not None:
            raise self._problem
        return self._address

    def close(self) -> None:
        """Ends it; who looks is told."""
        if self._loop is not None and self._thread.is_alive():
            with suppress(RuntimeError):  # it has just ended by itself
                self._loop.call_soon_threadsafe(self._server.over.set)
            self._thread.join(_ENDING_S)

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except Exception as error:
            if not self._opened.is_set():
                self._problem = error
                self._opened.set()
                return
            self._failed(f"the page's server failed: {error!r}")

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        async with AsyncExitStack() as stack:
            self._address = await self._server.open(stack)
            self._opened.set()
            await self._server.over.wait()
        if self._server.problem:
            self._failed(f"the page's server failed: {self._server.problem}")
