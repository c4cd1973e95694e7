"""Browsers, and what is none, that mean no good: nothing of the robot moves and nobody waits."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from browser.page_client import opened
from page_serving import Served, run, serving, until

from vla_rl_nodes.operator.page_socket import OVER
from vla_rl_nodes.operator.slots import MOST_OF_ONE

TOKEN = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text(TOKEN + "\n")
    path.chmod(0o600)
    return path


def unmoved(page: Served) -> None:
    robot = page.robot
    assert robot.called == [] and robot.stops == [] and robot.operators == []
    assert not any(sticks.held for _, sticks in robot.sticks)


@pytest.mark.parametrize(
    "frame",
    ["", "{", "[]", '"e_stop"', '{"kind":"shell","n":1}', "\x00", "9" * 2000,
     '{"kind":"do","n":1,"what":"a b"}', '{"kind":"e_stop","n":1,"more":"<script>"}'],
)  # fmt: skip
def test_a_frame_that_is_no_message_ends_the_connection(frame: str) -> None:
    async def scenario() -> None:
        async with serving() as page, page.browser() as good:
            async with page.session.ws_connect(page.address + "state") as socket:
                await socket.send_str(frame)
                while not socket.closed:
                    message = await socket.receive()
                    assert "script" not in str(message.data)
                assert socket.close_code == 1008
            await good.state(lambda s: s["control"]["viewers"] == 1)
            unmoved(page)

    run(scenario)


def test_binary_and_huge_frames_end_the_connection() -> None:
    async def scenario() -> None:
        async with serving() as page, page.browser() as good:
            for data, code in ((b"x", 1003), (b"x" * 100_000, 1009)):
                async with page.session.ws_connect(page.address + "state") as socket:
                    await socket.send_bytes(data)
                    while not socket.closed:
                        await socket.receive()
                    assert socket.close_code == code
            async with page.session.ws_connect(page.address + "cameras") as socket:
                await socket.send_str("[]")
                while not socket.closed:
                    await socket.receive()
            await good.state(lambda s: s["control"]["viewers"] == 1)
            unmoved(page)

    run(scenario)


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"}, {"Origin": "null"}, {"Origin": "https://127.0.0.1"},
        {"Host": "evil.example"}, {"Host": "evil.example", "Origin": "http://evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
    ],
)  # fmt: skip
def test_another_page_reaches_nothing(headers: dict[str, str]) -> None:
    async def scenario() -> None:
        async with serving() as page:
            for path in ("state", "cameras"):
                with pytest.raises(aiohttp.WSServerHandshakeError) as told:
                    await page.session.ws_connect(page.address + path, headers=headers)
                assert told.value.status in (403, 421)
            async with page.session.post(page.address + "e_stop", headers=headers) as answer:
                assert answer.status in (403, 421)
                assert "evil" not in await answer.text()
            unmoved(page)

    run(scenario)


def test_a_page_under_another_name_is_not_given() -> None:
    async def scenario() -> None:
        async with serving(hosts=("robot1.lab",)) as page:
            for host, status in (
                ("evil.example", 421), ("robot1.lab", 200), ("localhost:9999", 200), ("", 421),
            ):  # fmt: skip
                async with page.session.get(page.address, headers={"Host": host}) as answer:
                    assert answer.status == status, host

    run(scenario)


def test_bytes_that_are_no_request() -> None:
    async def scenario() -> None:
        async with serving() as page, page.browser() as good:
            host, port = page.address.removeprefix("http://").rstrip("/").split(":")
            for data in (
                b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"GET\r\n\r\n", b"\x00" * 5000,
                b"GET / HTTP/1.1\r\nHost: x\r\n<script>: 1\r\n\r\n",
                b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 500 + b"\r\n",
                b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
            ):  # fmt: skip
                reader, writer = await asyncio.open_connection(host, int(port))
                writer.write(data)
                writer.write_eof()
                said = await reader.read()
                assert b"script" not in said and b"Traceback" not in said
                assert not said or said.split(b" ")[1][:1] == b"4"
                writer.close()
            await good.state(lambda s: True)

    run(scenario)


def test_too_many_sockets_are_shut_and_who_looks_goes_on() -> None:
    async def scenario() -> None:
        async with serving() as page, page.browser() as good:
            host, port = page.address.removeprefix("http://").rstrip("/").split(":")
            idle = [
                await asyncio.open_connection(host, int(port)) for _ in range(MOST_OF_ONE + 20)
            ]
            shut = 0
            for reader, _ in idle[-20:]:
                try:
                    shut += await asyncio.wait_for(reader.read(), 5.0) == b""
                except ConnectionError:
                    shut += 1
            assert shut == 20
            await good.state(lambda s: True)
            for _, writer in idle:
                writer.close()

    run(scenario)


def test_without_the_token_there_is_only_the_login(token_file: Path) -> None:
    async def scenario() -> None:
        async with serving(token_file=token_file) as page:
            async with page.session.get(page.address, allow_redirects=False) as answer:
                assert answer.status == 303 and answer.headers["Location"] == "/login"
            for path in ("main.js", "page.css", "view.js", "state", "cameras"):
                async with page.session.get(page.address + path) as answer:
                    assert answer.status == 401
                    assert await answer.text() == "the token is missing or wrong\n"
            async with page.session.post(page.address + "e_stop") as answer:
                assert answer.status == 401
            with pytest.raises(aiohttp.WSServerHandshakeError) as told:
                await page.session.ws_connect(page.address + "state")
            assert told.value.status == 401
            unmoved(page)

    run(scenario)


def test_a_wrong_token_is_refused_and_has_to_wait(token_file: Path) -> None:
    async def scenario() -> None:
        async with serving(token_file=token_file) as page:

            async def login(token: str) -> tuple[int, str, dict[str, Any]]:
                data = {"token": token}
                async with page.session.post(
                    page.address + "login", data=data, allow_redirects=False
                ) as answer:
                    return answer.status, await answer.text(), dict(answer.headers)

            status, text, headers = await login("<script>alert(1)</script>")
            assert status == 401 and "The token is wrong" in text and "<script>" not in text
            assert headers["Retry-After"] == "1"
            # Even the right one is not looked at before the time is over.
            assert (await login(TOKEN))[0] == 401
            wrong = {"Authorization": f"Bearer {TOKEN[:-1]}x"}
            async with page.session.get(page.address, headers=wrong) as answer:
                assert answer.status == 401 and (await answer.text()).count("\n") == 1
            while (status := (await login(TOKEN))[0]) == 401:
                await asyncio.sleep(0.1)
            status, _, headers = await login(TOKEN)
            assert status == 303 and headers["Location"] == "/"
            cookie = headers["Set-Cookie"]
            assert "HttpOnly" in cookie and "SameSite=Strict" in cookie and TOKEN not in cookie
            assert "Secure" not in cookie  # it would never come back over HTTP

    run(scenario)


def test_the_session_opens_everything_until_it_is_ended(token_file: Path) -> None:
    async def scenario() -> None:
        async with serving(token_file=token_file) as page:
            jar = aiohttp.CookieJar(unsafe=True)  # cookies for an address
            async with aiohttp.ClientSession(cookie_jar=jar) as session:
                await session.post(page.address + "login", data={"token": TOKEN})
                async with session.get(page.address) as answer:
                    assert answer.status == 200 and "Take control" in await answer.text()
                async with session.ws_connect(page.address + "state") as socket:
                    assert json.loads((await socket.receive()).data)["closed"] is True
                await session.post(page.address + "logout", allow_redirects=False)
                async with session.get(page.address, allow_redirects=False) as answer:
                    assert answer.status == 303

    run(scenario)


@pytest.mark.parametrize("how", ["logout", "time"])
def test_a_session_that_is_over_ends_its_web_sockets_and_its_control(
    token_file: Path, how: str
) -> None:
    async def scenario() -> None:
        hours = 12.0 if how == "logout" else 4.0 / 3600.0
        async with serving(token_file=token_file, session_h=hours) as page:
            jar = aiohttp.CookieJar(unsafe=True)
            async with aiohttp.ClientSession(cookie_jar=jar) as session:
                await session.post(page.address + "login", data={"token": TOKEN})
                copied = {"Cookie": "; ".join(f"{c.key}={c.value}" for c in jar)}
                pictures = await session.ws_connect(page.address + "cameras")
                async with (
                    opened(session, page.address) as mine,
                    page.browser(Authorization=f"Bearer {TOKEN}") as other,
                ):
                    assert (await mine.ask(kind="take", name="op1"))["ok"]
                    if how == "logout":
                        await session.post(page.address + "logout", allow_redirects=False)
                    await until(lambda: mine.socket.closed)
                    assert mine.socket.close_code == OVER
                    assert (await pictures.receive()).data == OVER
                    state = await other.state(lambda s: s["control"]["viewers"] == 1)
                    assert state["control"]["name"] == ""
                    async with page.session.get(page.address + "main.js", headers=copied) as told:
                        assert told.status == 401

    run(scenario)


def test_programs_give_the_token_with_every_request(token_file: Path) -> None:
    async def scenario() -> None:
        with_token = {"Authorization": f"Bearer {TOKEN}"}
        async with serving(token_file=token_file) as page, page.browser(**with_token) as browser:
            assert (await browser.ask(kind="e_stop"))["ok"]

    run(scenario)


def test_a_login_of_another_kind_or_too_long_is_refused(token_file: Path) -> None:
    async def scenario() -> None:
        async with serving(token_file=token_file) as page:
            address = page.address + "login"
            async with page.session.post(address, json={"token": TOKEN}) as answer:
                assert answer.status == 415
            async with page.session.post(address, data={"token": "x" * 100_000}) as answer:
                assert answer.status == 413
            async with page.session.post(
                address, data={"token": TOKEN}, headers={"Origin": "http://evil.example"}
            ) as answer:
                assert answer.status == 403

    run(scenario)
