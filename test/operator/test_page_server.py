"""What browsers get: pages, states, pictures; and what a restart is to them."""

from __future__ import annotations

import asyncio
import json
import ssl
import struct
import time
from pathlib import Path

import aiohttp
import pytest
from page_serving import run, serving, until
from remote.certificates import certificate

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.operator.page_settings import Listen, Tls
from vla_rl_nodes.operator.tls import tls_context
from vla_rl_nodes.operator.viewer import WINDOW


def test_the_page_and_its_files_name_nothing_outside() -> None:
    async def scenario() -> None:
        async with serving() as page:
            async with page.session.get(page.address) as answer:
                text = await answer.text()
                assert answer.status == 200 and answer.content_type == "text/html"
                policy = answer.headers["Content-Security-Policy"]
                assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy
                assert "unsafe" not in policy
                assert answer.headers["X-Content-Type-Options"] == "nosniff"
            names = [
                part.split('"')[0] for mark in ('src="', 'href="') for part in text.split(mark)[1:]
            ]
            assert names and all(name.startswith("/") for name in names)
            assert "<script>" not in text and "style=" not in text and "onclick" not in text
            scripts = ["main.js", "link.js", "view.js", "plots.js", "hands.js", "cameras.js"]
            for name in [*scripts, "stop.js", "page.css", "icon.svg", "login.css"]:
                async with page.session.get(page.address + name) as answer:
                    body = await answer.text()
                    assert answer.status == 200, name
                    assert "http://" not in body.replace("http://www.w3.org/2000/svg", "")
                    assert "https://" not in body and "innerHTML" not in body

    run(scenario)


@pytest.mark.parametrize(
    "path",
    ["page.html", "login.html", "../gate.py", "%2e%2e/gate.py", "none", "a/b", "__init__.py"],
)
def test_nothing_else_is_there(path: str) -> None:
    async def scenario() -> None:
        async with serving() as page, page.session.get(page.address + path) as answer:
            assert answer.status == 404
            assert await answer.text() == "nothing is here for such a request\n"

    run(scenario)


def test_every_viewer_gets_the_state_ten_times_a_second() -> None:
    async def scenario() -> None:
        async with serving() as page, page.browser() as one, page.browser() as other:
            page.robot.say("episode/state", "running", episode_id="e")
            await one.state(lambda s: s["episode"]["state"] == "running")
            since, counts = time.monotonic(), (len(one.states), len(other.states))
            await until(lambda: len(one.states) >= counts[0] + 15)
            await until(lambda: len(other.states) >= counts[1] + 14)
            # Never quicker; how much slower says how busy the machine is.
            assert time.monotonic() - since > 1.3
            assert one.about["cameras"] == ["image_scene", "image_wrist"]
            assert one.states[-1]["control"]["viewers"] == 2

    run(scenario)


def test_a_viewer_that_shows_nothing_is_left_out_and_others_go_on() -> None:
    async def scenario() -> None:
        async with serving() as page, page.browser() as slow, page.browser() as quick:
            slow.shows = False
            await until(lambda: len(quick.states) > 15)
            assert len(slow.states) <= WINDOW + 1
            # It goes on with the newest state, not with old ones.
            await slow.send(kind="seen", number=slow.states[-1]["number"])
            slow.shows = True
            newest = await slow.state(lambda s: True)
            assert newest["now_ms"] >= quick.states[-2]["now_ms"]
            assert newest["control"]["skipped"] > 3

    run(scenario)


def test_the_actions_reach_each_viewer_once_and_in_full() -> None:
    async def scenario() -> None:
        async with serving() as page, page.browser() as early:
            names = tuple(axis["name"] for axis in page.robot.about()["axes"])
            for tick in range(12):
                stamp = time.time_ns()
                page.robot.board.vector("policy/command", stamp, names, [tick] * 5, 0.0)
                await asyncio.sleep(0.05)

            def told(states: list[dict[str, object]]) -> list[float]:
                return [row[1][0] for s in states for row in s["trace"]]  # type: ignore[attr-defined]

            await until(lambda: len(told(early.states)) == 12)
            async with page.browser() as late:
                await until(lambda: len(told(late.states)) == 12)
                assert told(late.states) == told(early.states) == list(range(12))

    run(scenario)


def test_pictures_come_newest_first_and_wait_for_a_slow_viewer() -> None:
    async def scenario() -> None:
        async with serving() as page:
            page.robot.show(0, 1)
            page.robot.show(1, 1)
            async with page.session.ws_connect(page.address + "cameras") as socket:
                first = {(await socket.receive_bytes())[0] for _ in range(2)}
                assert first == {0, 1}
                page.robot.show(0, 2)
                data = await socket.receive_bytes()
                camera, stamp_ms = struct.unpack("<B7xd", data[:16])
                assert camera == 0 and data[16:19] == b"\xff\xd8\xff"
                assert abs(stamp_ms - time.time() * 1e3) < 60_000
                # Two of it are under way and none was drawn: the third waits, and is replaced.
                page.robot.show(0, 3)
                with pytest.raises(asyncio.TimeoutError):
                    await socket.receive_bytes(timeout=0.5)
                page.robot.show(0, 9)
                await asyncio.sleep(0.3)
                await socket.send_str("0")
                data = await socket.receive_bytes()
                assert data[0] == 0 and struct.unpack("<B7xd", data[:16])[1] == (
                    page.robot.pictures[0].stamp_ns / 1e6
                )

    run(scenario)


def test_a_broken_picture_is_told_and_not_sent() -> None:
    async def scenario() -> None:
        async with serving() as page:
            page.robot.show(0, 1)
            page.robot.pictures[0] = page.robot.pictures[0].__class__(1, 0, b"x", "rgb8", 9, 9, 27)
            page.robot.show(1, 1)
            async with page.session.ws_connect(page.address + "cameras") as socket:
                assert (await socket.receive_bytes())[0] == 1
            assert any("is not as large as it says" in line for line in page.robot.lines)

    run(scenario)


def test_more_viewers_than_there_may_be_are_told_so() -> None:
    async def scenario() -> None:
        async with serving(viewers_max=1) as page, page.browser():
            async with page.session.ws_connect(page.address + "state") as socket:
                message = await socket.receive()
                assert message.type is aiohttp.WSMsgType.CLOSE and message.data == 4001
            # They can stop the robot all the same.
            async with page.session.post(page.address + "e_stop") as answer:
                assert answer.status == 200 and json.loads(await answer.text())["ok"]
            assert page.robot.stops

    run(scenario)


def test_a_server_that_ends_says_so_and_one_that_begins_is_found_again() -> None:
    async def scenario() -> None:
        async with serving() as page, page.browser() as browser:
            await browser.ask(kind="take", name="op1")
            port = int(page.address.rstrip("/").rpartition(":")[2])
            socket = browser.socket
        async with serving(listen=Listen(port=port)) as page, page.browser() as browser:
            assert (await browser.state(lambda s: True))["control"]["name"] == ""
        assert socket.closed

    run(scenario)


def test_a_port_that_is_taken_is_one_line() -> None:
    async def scenario() -> None:
        async with serving() as page:
            port = int(page.address.rstrip("/").rpartition(":")[2])
            with pytest.raises(InputError, match="free the port"):
                async with serving(listen=Listen(port=port)):
                    pass

    run(scenario)


def test_tls_files_that_are_none_are_one_line(tmp_path: Path) -> None:
    certificate(tmp_path)
    (tmp_path / "c").write_text("nothing")
    for name in ("key.pem", "c"):
        (tmp_path / name).chmod(0o600)
    for name, key, said in (
        ("c", "key.pem", "c: is no certificate with the key key.pem"),
        ("cert.pem", "c", "cert.pem: is no certificate with the key c"),
        ("cert.pem", "none", "none: no such file"), ("none", "key.pem", "none: no such file"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=said) as told:
            tls_context(Tls(certificate=tmp_path / name, key=tmp_path / key))
        assert "\n" not in str(told.value)


def test_over_tls(tmp_path: Path) -> None:
    public, _ = certificate(tmp_path)
    token = tmp_path / "token"
    token.write_text("t" * 40)
    token.chmod(0o600)
    (tmp_path / "key.pem").chmod(0o600)

    async def scenario() -> None:
        trusted = ssl.create_default_context(cafile=public)
        tls = Tls(certificate=public, key=tmp_path / "key.pem")
        async with serving(tls=tls, token_file=token) as page:
            assert page.address.startswith("https://127.0.0.1:")
            async with page.session.post(
                page.address + "login", data={"token": "t" * 40}, ssl=trusted,
                allow_redirects=False, headers={"Origin": page.address.rstrip("/")},
            ) as answer:  # fmt: skip
                assert answer.status == 303 and "Secure" in answer.headers["Set-Cookie"]
            plain = page.address.replace("https", "http")
            with pytest.raises(aiohttp.ClientError):
                await page.session.get(plain)

    run(scenario)
