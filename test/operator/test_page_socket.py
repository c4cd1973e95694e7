"""Floods over WebSockets: whoever sends them is out, whatever they are made of."""

from __future__ import annotations

import asyncio
import contextlib

import aiohttp
import pytest
from page_serving import run, serving

from vla_rl_nodes.operator.page_socket import BURST, RATE, Bucket

MOST = 20 * int(BURST)


def test_so_many_messages_at_once_and_so_many_a_second() -> None:
    bucket = Bucket(0.0)
    assert [bucket.take(0.0) for _ in range(int(BURST) + 1)] == [True] * int(BURST) + [False]
    assert [bucket.take(1.0) for _ in range(int(RATE) + 1)] == [True] * int(RATE) + [False]
    quick = Bucket(0.0, 1000.0)
    assert all(quick.take(k / 1000.0) for k in range(5000))


@pytest.mark.parametrize(
    ("path", "what"),
    [("state", "ping"), ("state", "pong"), ("state", "text"), ("cameras", "ping"),
     ("cameras", "pong"), ("cameras", "text")],
)  # fmt: skip
def test_a_flood_of_anything_ends_its_own_connection_only(path: str, what: str) -> None:
    async def scenario() -> None:
        async with serving() as page, page.browser() as good:
            async with page.session.ws_connect(page.address + path, autoping=False) as socket:
                text = "0" if path == "cameras" else '{"kind":"seen","number":0}'
                sends = {"ping": socket.ping, "pong": socket.pong}

                async def flood() -> None:
                    for _ in range(MOST):
                        await (sends[what]() if what in sends else socket.send_str(text))
                        await asyncio.sleep(0)

                async def read() -> None:
                    while (await socket.receive()).type not in (
                        aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR,
                    ):  # fmt: skip
                        pass

                flooding = asyncio.create_task(flood())
                with contextlib.suppress(ConnectionError):
                    await asyncio.wait_for(read(), 20.0)
                flooding.cancel()
                await asyncio.gather(flooding, return_exceptions=True)
            assert any("sends too much" in line for line in page.robot.lines)
            assert (await good.ask(kind="e_stop"))["ok"]
            await good.state(lambda s: s["control"]["viewers"] == 1)

    run(scenario)


def test_pings_are_answered() -> None:
    async def scenario() -> None:
        async with serving() as page:
            for path in ("state", "cameras"):
                async with page.session.ws_connect(page.address + path, autoping=False) as socket:
                    await socket.ping(b"here")
                    while (message := await socket.receive()).type is not aiohttp.WSMsgType.PONG:
                        pass
                    assert message.data == b"here"

    run(scenario)


def test_a_viewer_that_shows_nothing_for_long_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vla_rl_nodes.operator.viewer.STUCK_S", 0.5)

    async def scenario() -> None:
        async with serving() as page, page.browser() as slow:
            slow.shows = False
            async with asyncio.timeout(20.0):
                while not slow.socket.closed:
                    await asyncio.sleep(0.01)
            async with page.browser() as other:  # and nobody else is
                assert (await other.ask(kind="e_stop"))["ok"]

    run(scenario)
