"""A link that can be cut, stalled and slowed: a TCP proxy on a thread of its own."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable

from vla_rl_nodes.closable import Closable
from vla_rl_nodes.link.bandwidth import TokenBucket

_PIECE = 1 << 14
_READY_S = 10.0


class Proxy(Closable):
    """Forwards every connection to one address, and counts what goes through.

    Args:
        target_port: on this machine; it need not listen yet.

    Attributes:
        port: to connect to, on this machine.
        to_learner: bytes so far, of all connections.
        to_robot: bytes so far.
    """

    def __init__(self, target_port: int) -> None:
        self.port = self.to_learner = self.to_robot = 0
        self._target_port = target_port
        self._bucket = TokenBucket(0)
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._up = threading.Event()
        self._thread = threading.Thread(target=self._run, name="proxy", daemon=True)
        self._thread.start()
        if not self._up.wait(_READY_S):
            raise RuntimeError("the proxy did not start")

    def cut(self) -> int:
        """Breaks every connection off without a word; how many there were."""
        return self._in_loop(self._abort)

    def stall(self, stalled: bool) -> None:
        """Lets nothing through while connections stay open, or lets it through again."""
        self._in_loop(self._flowing.clear if stalled else self._flowing.set)

    def throttle(self, bytes_per_s: int) -> None:
        """Caps the way to the learner; 0 for no cap."""
        self._bucket = TokenBucket(bytes_per_s)

    def close(self) -> None:
        """Ends the proxy and its connections."""
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(_READY_S)

    def _in_loop(self, call: Callable[[], int | None]) -> int:
        async def run() -> int:
            return call() or 0

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(_READY_S)

    def _abort(self) -> int:
        count = len(self._writers)
        for writer in list(self._writers):
            writer.transport.abort()
        return count

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0, limit=_PIECE)
        self.port = server.sockets[0].getsockname()[1]
        self._up.set()
        await self._stop.wait()
        server.close()
        self._abort()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection(
                "127.0.0.1", self._target_port, limit=_PIECE
            )
        except OSError:
            writer.transport.abort()  # as if the learner's machine had refused
            return
        self._writers |= {writer, far_writer}
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._forward(reader, far_writer, up=True))
                tasks.create_task(self._forward(far_reader, writer, up=False))
        except* OSError:
            pass  # one side is gone: so is the other
        finally:
            for end in (writer, far_writer):
                self._writers.discard(end)
                end.transport.abort()

    async def _forward(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, up: bool
    ) -> None:
        while piece := await reader.read(_PIECE):
            await self._flowing.wait()
            if up:
                await asyncio.sleep(self._bucket.take(len(piece)))
                self.to_learner += len(piece)
            else:
                self.to_robot += len(piece)
            writer.write(piece)
            await writer.drain()
        with contextlib.suppress(OSError):
            writer.write_eof()
        raise ConnectionResetError("one side has ended")
