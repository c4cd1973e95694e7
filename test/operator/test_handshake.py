"""Connections that never finish their TLS handshake: counted, and ended soon."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import aiohttp
import pytest
from page_serving import Served, run, serving, until
from remote.certificates import certificate

from vla_rl_nodes.operator import handshake
from vla_rl_nodes.operator.page_settings import Tls
from vla_rl_nodes.operator.slots import MOST_OF_ONE


@asynccontextmanager
async def secured(folder: Path) -> AsyncIterator[tuple[Served, ssl.SSLContext]]:
    """A page over HTTPS, and who trusts it."""
    public, _ = certificate(folder)
    (folder / "key.pem").chmod(0o600)
    async with serving(tls=Tls(certificate=public, key=folder / "key.pem")) as page:
        yield page, ssl.create_default_context(cafile=public)


def at(page: Served) -> tuple[str, int]:
    host, port = page.address.removeprefix("https://").rstrip("/").split(":")
    return host, int(port)


def test_connections_that_say_nothing_take_slots_and_are_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handshake, "HANDSHAKE_S", 3.0)

    async def scenario() -> None:
        async with secured(tmp_path) as (page, trusted):
            idle = [await asyncio.open_connection(*at(page)) for _ in range(MOST_OF_ONE + 10)]
            await until(lambda: page.slots.open.total() == MOST_OF_ONE)
            for reader, _ in idle[-10:]:
                with suppress(ConnectionError):
                    assert await asyncio.wait_for(reader.read(), 5.0) == b""
            await until(lambda: not page.slots.open)
            async with page.session.get(page.address, ssl=trusted) as answer:
                assert answer.status == 200
            for _, writer in idle:
                writer.close()

    run(scenario)


def test_what_is_no_tls_gives_its_slot_back(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with secured(tmp_path) as (page, trusted):
            for data in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01\x02\x00\x01", b""):
                reader, writer = await asyncio.open_connection(*at(page))
                writer.write(data)
                writer.write_eof()
                await asyncio.wait_for(reader.read(), 20.0)
                writer.close()
            async with page.session.get(page.address, ssl=trusted) as answer:
                assert answer.status == 200
            await page.session.close()
            await until(lambda: not page.slots.open)

    run(scenario)


def test_everything_goes_over_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with secured(tmp_path) as (page, trusted):
            names = ["", "main.js", "view.js", "page.css", "plots.js", "hands.js"] * 5

            async def get(name: str) -> int:
                async with page.session.get(page.address + name, ssl=trusted) as answer:
                    await answer.read()
                    return answer.status

            assert await asyncio.gather(*map(get, names)) == [200] * len(names)
            page.robot.show(0, 1, 640, 480)
            async with page.session.ws_connect(page.address + "cameras", ssl=trusted) as socket:
                assert (await socket.receive_bytes())[0] == 0
            async with page.session.ws_connect(page.address + "state", ssl=trusted) as socket:
                assert json.loads((await socket.receive()).data)["kind"] == "about"
                await socket.send_json({"kind": "e_stop", "n": 1})
                await until(lambda: page.robot.stops)
                assert page.slots.looking.total() == 1
            await page.session.close()
            await until(lambda: not page.slots.open and not page.slots.looking)

    run(scenario)


def test_a_request_that_comes_with_the_end_of_the_handshake_is_heard(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with secured(tmp_path) as (page, trusted):
            for _ in range(10):
                into, out = ssl.MemoryBIO(), ssl.MemoryBIO()
                client = trusted.wrap_bio(into, out, server_hostname="127.0.0.1")
                reader, writer = await asyncio.open_connection(*at(page))
                while True:
                    try:
                        client.do_handshake()
                        break
                    except ssl.SSLWantReadError:
                        writer.write(out.read())
                        into.write(await reader.read(65536))
                client.write(b"GET /login.css HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n")
                writer.write(out.read())  # with the client's last word in one piece
                said = b""
                while not said:
                    into.write(await asyncio.wait_for(reader.read(65536), 10.0))
                    with suppress(ssl.SSLWantReadError):
                        said = client.read(12)
                assert said == b"HTTP/1.0 200"
                writer.transport.abort()

    run(scenario)


def test_the_server_ends_in_mid_handshake(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with secured(tmp_path) as (page, _):
            reader, writer = await asyncio.open_connection(*at(page))
            await until(lambda: page.slots.open.total() == 1)
        with suppress(ConnectionError):
            assert await asyncio.wait_for(reader.read(), 5.0) == b""
        writer.close()

    run(scenario)


def test_plain_http_is_refused(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with secured(tmp_path) as (page, _):
            with pytest.raises(aiohttp.ClientError):
                await page.session.get(page.address.replace("https", "http"))

    run(scenario)
