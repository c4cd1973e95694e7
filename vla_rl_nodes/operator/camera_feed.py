"""The cameras' pictures to every viewer that asks for them, the newest of each only."""

from __future__ import annotations

import asyncio
import json
import struct
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from aiohttp import web

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.operator.camera_pictures import jpeg
from vla_rl_nodes.operator.page_settings import Pictures
from vla_rl_nodes.operator.robot_side import RobotSide

HEADER = struct.Struct("<B7xd")  # camera, milliseconds of the nodes' clock
WINDOW = 2  # pictures of a camera under way to one viewer


@dataclass(eq=False)
class _Watcher:
    """One connection: what it was sent and what it has drawn, by camera."""

    socket: web.WebSocketResponse
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

    @property
    def sockets(self) -> list[web.WebSocketResponse]:
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
            raw = self._robot.picture(camera)
            known = self._frames.get(camera)
            if raw is None or (known is not None and known[0] == raw.number):
                continue
            try:
                data = await loop.run_in_executor(self._pool, jpeg, raw, self._settings)
            except InputError as error:
                self._robot.complain(f"camera {camera}: {error}")
                data = b""
            self._frames[camera] = raw.number, HEADER.pack(camera, raw.stamp_ns / 1e6) + data
        for watcher in self._watchers:
            watcher.wake.set()

    async def serve(self, socket: web.WebSocketResponse) -> None:
        """Sends to one viewer until it is gone.

        Args:
            socket: prepared; the viewer says the number of each camera that it has drawn.
        """
        watcher = _Watcher(socket)
        self._watchers.add(watcher)
        sending = asyncio.create_task(self._send(watcher, socket))
        try:
            async for message in socket:
                drawn = _camera(message.data) if message.type is web.WSMsgType.TEXT else None
                if drawn is None:
                    await socket.close(code=1008, message=b"no message of this page")
                    break
                watcher.under_way[drawn] = max(0, watcher.under_way.get(drawn, 0) - 1)
                watcher.wake.set()
        finally:
            self._watchers.discard(watcher)
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)

    async def _send(self, watcher: _Watcher, socket: web.WebSocketResponse) -> None:
        while True:
            await watcher.wake.wait()
            watcher.wake.clear()
            for camera, (number, frame) in list(self._frames.items()):
                fresh = watcher.sent.get(camera) != number and len(frame) > HEADER.size
                if fresh and watcher.under_way.get(camera, 0) < WINDOW:
                    watcher.sent[camera] = number
                    watcher.under_way[camera] = watcher.under_way.get(camera, 0) + 1
                    await socket.send_bytes(frame)


def _camera(text: str) -> int | None:
    """The number of the camera in a viewer's message; None where it is none."""
    try:
        number = json.loads(text)
    except ValueError:
        return None
    if isinstance(number, int) and not isinstance(number, bool) and 0 <= number < 256:
        return number
    return None
