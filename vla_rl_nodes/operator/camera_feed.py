"""The cameras' pictures to every viewer that asks for them, the newest of each only."""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from aiohttp import WSMsgType

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.operator.camera_pictures import jpeg
from vla_rl_nodes.operator.page_settings import Pictures
from vla_rl_nodes.operator.page_socket import RATE, PageSocket
from vla_rl_nodes.operator.robot_side import RobotSide

HEADER = struct.Struct("<B7xd")  # camera, milliseconds of the nodes' clock
WINDOW = 2  # pictures of a camera under way to one viewer


@dataclass(eq=False)
class _Watcher:
    """One connection: what it was sent and what it has drawn, by camera."""

    socket: PageSocket
    stays: Callable[[], bool]
    under_way: dict[int, int] = field(default_factory=dict)
    sent: dict[int, int] = field(default_factory=dict)
    wake: asyncio.Event = field(default_factory=asyncio.Event)


class CameraFeed:
    """Makes each JPEG once, in a thread, and only while somebody looks.

    Args:
        robot: its cameras.
        count: of cameras.
        settings: rate, size and quality.
    """

    def __init__(self, robot: RobotSide, count: int, settings: Pictures) -> None:
        self._robot, self._count, self._settings = robot, count, settings
        self._watchers: set[_Watcher] = set()
        self._frames: dict[int, tuple[int, bytes]] = {}  # camera: number, what is sent
        self._pool = ThreadPoolExecutor(1, "pictures")
        # Each picture is answered for, and there are no more of them than this.
        self._rate = max(RATE, 2.0 * count * settings.hz)

    @property
    def sockets(self) -> list[PageSocket]:
        """Of those that look."""
        return [watcher.socket for watcher in self._watchers]

    async def run(self) -> None:
        """Until it is cancelled."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        try:
            while True:
                if self._watchers:
                    await self._make()
                due = max(due + 1.0 / self._settings.hz, loop.time())
                await asyncio.sleep(due - loop.time())
        finally:
            self._pool.shutdown(wait=False, cancel_futures=True)

    async def _make(self) -> None:
        loop = asyncio.get_running_loop()
        for camera in range(self._count):
            known = self._frames.get(camera, (0, b""))[0]
            made = await loop.run_in_executor(self._pool, self._frame, camera, known)
            if made is not None:
                self._frames[camera] = made
        for watcher in self._watchers:
            if watcher.stays():
                watcher.wake.set()
            else:
                watcher.socket.session_over()

    def _frame(self, camera: int, known: int) -> tuple[int, bytes] | None:
        """The number of a camera's next picture and what is sent of it, which is no more than the
        header where it cannot be shown; None: nothing new. Runs in the pool.

        What is in a picture must not end the page, whatever it is.
        """
        number, stamp_ns = known, 0
        try:
            raw = self._robot.picture(camera, known)
            if raw is None:
                return None
            number, stamp_ns = raw.number, raw.stamp_ns
            data = jpeg(raw, self._settings)
        except Exception as error:
            said = str(error) if isinstance(error, InputError) else type(error).__name__
            self._robot.complain(f"camera {camera}: {said}")
            data = b""
        return number, HEADER.pack(camera, stamp_ns / 1e6) + data

    async def serve(self, socket: PageSocket, stays: Callable[[], bool]) -> None:
        """Sends to one viewer until it is gone, or may not look any more.

        Args:
            socket: prepared; the viewer says the number of each camera that it has drawn.
            stays: whether it may go on looking.
        """
        watcher = _Watcher(socket, stays)
        self._watchers.add(watcher)
        sending = asyncio.create_task(self._send(watcher))
        try:
            async for message in socket.heard(self._rate):
                drawn = _camera(message.data) if message.type is WSMsgType.TEXT else None
                if drawn is None:
                    await socket.close(code=1008, message=b"no message of this page")
                    break
                watcher.under_way[drawn] = max(0, watcher.under_way.get(drawn, 0) - 1)
                watcher.wake.set()
            if socket.flooded:
                self._robot.complain("page: a viewer sends too much")
        finally:
            self._watchers.discard(watcher)
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)

    async def _send(self, watcher: _Watcher) -> None:
        while True:
            await watcher.wake.wait()
            watcher.wake.clear()
            for camera, (number, frame) in list(self._frames.items()):
                fresh = watcher.sent.get(camera) != number and len(frame) > HEADER.size
                if fresh and watcher.under_way.get(camera, 0) < WINDOW:
                    watcher.sent[camera] = number
                    watcher.under_way[camera] = watcher.under_way.get(camera, 0) + 1
                    await watcher.socket.send_bytes(frame)


def _camera(text: str) -> int | None:
    """The number of the camera in a viewer's message; None where it is none."""
    try:
        number = json.loads(text)
    except ValueError:
        return None
    if isinstance(number, int) and not isinstance(number, bool) and 0 <= number < 256:
        return number
    return None
