"""The page in a real browser, with a robot that is only said to be there: login, loss, viewers."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from vla_rl_nodes.operator.page_server import PageServer
from vla_rl_nodes.operator.page_settings import Listen, PageSettings
from vla_rl_nodes.operator.server_thread import ServerThread

from .on_page import OnPage

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "operator"))
from page_robot import FakeRobot

pytestmark = pytest.mark.browser

TOKEN = "0123456789abcdef0123456789abcdef"
Tab = Callable[..., Any]


@contextmanager
def served(robot: FakeRobot, port: int = 0, **settings: Any) -> Iterator[str]:
    """The page's server in a thread; its address."""
    failures: list[str] = []
    made = PageSettings(listen=Listen(port=port), **settings)
    server = ServerThread(PageServer(made, robot), failures.append)
    address = server.start()
    try:
        yield address
    finally:
        server.close()
        assert failures == []


def healthy() -> FakeRobot:
    robot = FakeRobot()
    robot.say("episode/state", "idle", episode_id="e")
    robot.say("safety/status", "disarmed", status="16", status_text="disarmed")
    return robot


def wait(condition: Callable[[], Any], page: OnPage, seconds: float = 20.0) -> None:
    """Until something is true, while the page goes on."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        page.page.wait_for_timeout(20)


def rates_of(*pages: OnPage) -> list[float]:
    """States a second that each page shows."""
    begun, counts = time.monotonic(), [page.states() for page in pages]
    pages[0].page.wait_for_timeout(2500)
    after, seconds = [page.states() for page in pages], time.monotonic() - begun
    return [round((b - a) / seconds, 2) for a, b in zip(counts, after, strict=True)]


def test_a_wrong_token_is_refused_and_the_right_one_opens_the_page(
    tab: Tab, tmp_path: Path
) -> None:
    token = tmp_path / "token"
    token.write_text(TOKEN)
    token.chmod(0o600)
    with served(healthy(), token_file=token) as address:
        page = tab(address)
        assert page.url.endswith("/login")
        page.fill("#token", "wrong" * 8)
        page.click("button")
        page.wait_for_selector("#said:not(:empty)")
        assert "The token is wrong" in page.inner_text("#said")
        while page.url.endswith("/login"):  # it has to wait a second, and longer if it does not
            page.wait_for_timeout(300)
            page.fill("#token", TOKEN)
            page.click("button")
            page.wait_for_load_state()
        on = OnPage(page)
        assert page.evaluate("document.cookie") == ""  # no script can read it
        on.take_control()
        page.click("#logout button")
        page.wait_for_selector("#token")


def test_two_viewers_see_ten_states_a_second_and_one_is_in_control(tab: Tab) -> None:
    robot = healthy()
    with served(robot) as address:
        one, other = OnPage(tab(address)), OnPage(tab(address))
        one.take_control("op1")
        other.until("() => document.querySelector('#holder').textContent.includes('op1')")
        assert other.page.is_disabled('[data-do="start"]')
        other.page.keyboard.press("s")
        rates = [rates_of(one, other)]
        while min(rates[-1]) < 9.0 and len(rates) < 12:  # the machine has had other work to do
            rates.append(rates_of(one, other))
        print("states a second of two viewers:", rates)
        assert robot.called == []
        assert min(rates[-1]) >= 9.0 and max(rates[-1]) < 12.0
        other.page.fill("#person", "op2")
        other.page.click("text=Take over control")
        one.until("() => document.querySelector('#holder').textContent.includes('op2 is in')")
        assert one.page.is_disabled('[data-do="start"]')


def test_it_shows_loudly_that_it_is_not_connected_and_connects_again(tab: Tab) -> None:
    robot = healthy()
    with served(robot) as address:
        on = OnPage(tab(address))
        on.take_control()
        assert on.page.is_enabled('[data-do="start"]')
    on.page.wait_for_selector("#lost")
    assert "Not connected" in on.page.inner_text("#lost")
    assert on.page.is_disabled('[data-do="start"]') and on.page.is_disabled("#take")
    on.page.wait_for_selector("body.stale")
    # The stop is tried all the same, and what came of it is told.
    on.page.click("#e_stop")
    on.until("() => document.querySelector('#messages').textContent.includes('was NOT sent')")
    port = int(address.rstrip("/").rpartition(":")[2])
    with served(robot, port=port):
        on.live()
        assert on.page.query_selector("#lost") is None
        assert on.page.is_disabled('[data-do="start"]')  # control was given up
        on.take_control()


def test_a_silent_server_counts_as_lost_and_the_stop_takes_another_way(tab: Tab) -> None:
    robot = healthy()
    with served(robot) as address:
        on = OnPage(tab(address))
        on.take_control()
        # As where a network loses what the WebSocket sends.
        on.page.evaluate("WebSocket.prototype.send = function () {}")
        on.page.keyboard.press("Space")
        wait(lambda: robot.stops, on)
        assert robot.stops[0][1]
        on.page.wait_for_selector("#lost")


@pytest.mark.parametrize("key", ["Space", "Escape"])
def test_the_stop_is_every_viewers_whatever_has_the_focus(tab: Tab, key: str) -> None:
    robot = healthy()
    with served(robot) as address:
        on = OnPage(tab(address))
        on.page.focus("#person")
        on.page.keyboard.press(key)
        wait(lambda: robot.stops, on)
        assert on.page.input_value("#person") == ""
        other = OnPage(tab(address))
        other.take_control()
        presses = sum(1 for line in robot.lines if "emergency stop" in line)
        other.page.focus('[data-do="start"]')
        other.page.keyboard.press(key)
        wait(lambda: sum("emergency stop" in line for line in robot.lines) > presses, other)
        assert robot.called == []  # Space does not press the button in focus


def test_keys_and_buttons_say_the_same(tab: Tab) -> None:
    robot = healthy()
    with served(robot) as address:
        on = OnPage(tab(address))
        on.take_control()
        robot.say("reset/status", "asking", reason="put the cube back")
        on.until("() => !document.querySelector('[data-do=confirm]').disabled")
        shortcuts = on.page.eval_on_selector_all(
            "[data-do]", "all => all.map(b => [b.dataset.do, b.dataset.key, b.innerText])"
        )
        assert len({key for _, key, _ in shortcuts}) == len(shortcuts) == 11
        for command, key, shown in shortcuts:
            assert key.upper() in shown  # the shortcut stands on its button
            on.click(command)
            on.press(key, command)
        assert robot.called == [name for name, _, _ in shortcuts for _ in range(2)]
        on.page.keyboard.press("Control+s")
        on.page.keyboard.press("Shift+S")
        on.press("s", "start")
        assert robot.called.count("start") == 3


def test_a_key_that_is_up_is_let_go_and_a_window_that_is_gone_is_lost(tab: Tab) -> None:
    robot = healthy()

    def held() -> bool:
        return bool(robot.sticks) and robot.sticks[-1][1].held

    def lost(for_s: float = 0.5) -> bool:
        """Whether the joystick is silent while a key counts as held: then the robot is held."""
        return held() and time.monotonic() - robot.sticks[-1][0] > for_s

    with served(robot) as address:
        on = OnPage(tab(address))
        on.take_control()
        on.page.keyboard.down("ArrowUp")
        wait(held, on)
        assert robot.sticks[-1][1].axes == (0.25, 0, 0, 0, 0, 0)
        on.page.keyboard.press("3")
        wait(lambda: robot.sticks[-1][1].axes[0] == 1.0, on)
        on.page.keyboard.up("ArrowUp")
        wait(lambda: not held(), on)
        on.page.hover('[data-hold="PageDown"]')
        on.page.mouse.down()
        wait(held, on)
        assert robot.sticks[-1][1].axes == (0, 0, -1.0, 0, 0, 0)
        on.page.mouse.up()
        wait(lambda: not held(), on)
        for event in ("blur", "pagehide"):
            on.page.keyboard.down("KeyQ")
            wait(lambda: held() and not lost(), on)
            on.page.evaluate(f"window.dispatchEvent(new Event('{event}'))")
            wait(lambda: lost(1.0), on)  # and does not come back while the key is still down
            on.page.keyboard.up("KeyQ")
            assert lost()
            on.page.keyboard.down("KeyE")  # the next press counts again
            wait(lambda: robot.sticks[-1][1].axes[5] < 0, on)
            on.page.keyboard.up("KeyE")
            wait(lambda: not held(), on)
        on.page.keyboard.down("KeyG")
        wait(lambda: held() and robot.sticks[-1][1].gripper, on)
        on.page.context.close()
        deadline = time.monotonic() + 10.0
        while not lost():
            assert time.monotonic() < deadline and held()  # nobody let go
            time.sleep(0.02)


def test_texts_of_the_graph_are_shown_as_texts(tab: Tab) -> None:
    robot = healthy()
    bad = "<img src=x onerror=alert(1)><script>alert(2)</script>"
    robot.say("episode/state", bad, help=bad, episode_id=bad, goal=bad)
    robot.say("safety/status", "faulted", reasons=bad, status_text=bad)
    with served(robot) as address:
        on = OnPage(tab(address))
        on.alarm("onerror")
        assert on.page.query_selector("#overview img, #alarms img, body script:not([src])") is None


@pytest.mark.parametrize("size", [(1280, 800), (1024, 768), (800, 1280), (1920, 1080)])
def test_the_stop_is_in_sight_and_nothing_is_cut_off(tab: Tab, size: tuple[int, int]) -> None:
    robot = healthy()
    robot.say("safety/status", "stopped", status="21", status_text="x", reasons="e_stop,workspace")
    robot.say("reset/status", "asking", reason="put the cube back")
    with served(robot) as address:
        on = OnPage(tab(address, viewport={"width": size[0], "height": size[1]}))
        on.take_control()
        on.page.wait_for_selector("#way_back:not([hidden])")
        for name in ("#e_stop", "#release_e_stop", '[data-do="start"]', "#give"):
            box = on.page.locator(name).bounding_box()
            assert box["x"] >= 0 and box["x"] + box["width"] <= size[0], name
            assert box["y"] >= 0 and box["y"] + box["height"] <= size[1], name
            assert box["height"] >= 44, name  # a finger's width
        assert on.page.evaluate("document.documentElement.scrollWidth") <= size[0]
        cut = on.page.eval_on_selector_all(
            "#acts button", "all => all.filter(b => b.scrollWidth > b.clientWidth + 1)"
            ".map(b => b.innerText)",
        )  # fmt: skip
        assert cut == []


def test_everything_that_can_be_pressed_has_a_name_and_alarms_are_announced(tab: Tab) -> None:
    with served(healthy()) as address:
        on = OnPage(tab(address))
        nameless = on.page.eval_on_selector_all(
            "button, input, canvas",
            "all => all.filter(e => !(e.innerText || e.ariaLabel || e.labels?.length)).length",
        )
        assert nameless == 0
        assert on.page.get_attribute("#alarms", "role") == "alert"
        assert on.page.get_attribute("#messages", "aria-live") == "polite"
