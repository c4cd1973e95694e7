"""The page's server on a free port, and browsers that open it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import aiohttp
from browser.page_client import Browser, opened, run, until
from page_robot import FakeRobot

from vla_rl_nodes.operator.page_server import PageServer
from vla_rl_nodes.operator.page_settings import Listen, PageSettings
from vla_rl_nodes.operator.slots import Slots

__all__ = ["Browser", "Served", "run", "serving", "until"]


class Served:
    """A server, its robot, and browsers that come and go."""

    def __init__(self, robot: FakeRobot, server: PageServer, address: str) -> None:
        self.robot, self.server, self.address = robot, server, address
        self.session = aiohttp.ClientSession()

    @property
    def slots(self) -> Slots:
        """Its connections."""
        assert self.server.connections is not None
        return self.server.connections.slots

    @asynccontextmanager
    async def browser(self, **headers: str) -> AsyncIterator[Browser]:
        """Opens the page's WebSocket."""
        async with opened(self.session, self.address, **headers) as browser:
            yield browser


@asynccontextmanager
async def serving(robot: FakeRobot | None = None, **settings: Any) -> AsyncIterator[Served]:
    """A server with these settings, of a robot."""
    robot = robot or FakeRobot()
    settings.setdefault("listen", Listen(port=0))
    server = PageServer(PageSettings(**settings), robot)
    async with AsyncExitStack() as stack:
        served = Served(robot, server, await server.open(stack))
        try:
            yield served
        finally:
            await served.session.close()
