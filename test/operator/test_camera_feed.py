"""Pictures that nobody expected: they are told in a line, and everything else goes on."""

from __future__ import annotations

import threading

import pytest
from page_robot import FakeRobot, png
from page_serving import Served, run, serving, until

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.operator.camera_pictures import MOST_RAW, Raw


class Failing(FakeRobot):
    """Its first camera gives what no picture can be made of."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error
        self.threads: set[str] = set()

    def picture(self, camera: int, known: int) -> Raw | None:
        self.threads.add(threading.current_thread().name)
        if camera == 0:
            raise self.error
        return super().picture(camera, known)


async def goes_on(page: Served) -> None:
    """The other camera is shown, and the page lives."""
    page.robot.show(1, 1)
    async with page.session.ws_connect(page.address + "cameras") as socket:
        assert (await socket.receive_bytes())[0] == 1
        page.robot.show(1, 2)
        assert (await socket.receive_bytes())[0] == 1
    async with page.browser() as browser:
        assert (await browser.ask(kind="e_stop"))["ok"]
    assert not page.server.over.is_set() and page.server.problem == ""


@pytest.mark.parametrize(
    "odd",
    [
        Raw(1, 0, png(1, 70_000)),
        Raw(1, 0, png(70_000, 1)),
        Raw(1, 0, bytes(70_000), "mono8", 1, 70_000, 1),
        Raw(1, 0, png(8, 8)[:16] + bytes(40)),
        Raw(1, 0, bytes(MOST_RAW + 1), "rgb8", 1920, 1080, 5760),
    ],
)
def test_an_odd_picture_is_one_line(odd: Raw) -> None:
    async def scenario() -> None:
        async with serving() as page:
            page.robot.pictures[0] = odd
            await goes_on(page)
            lines = [line for line in page.robot.lines if line.startswith("camera 0: picture: ")]
            assert len(lines) == 1 and "\n" not in lines[0]

    run(scenario)


@pytest.mark.parametrize(
    ("error", "said"),
    [(OSError("x"), "camera 0: OSError"), (MemoryError(), "camera 0: MemoryError"),
     (RuntimeError("no CDR"), "camera 0: RuntimeError"),
     (InputError("picture", "is too large", "a"), "camera 0: picture: is too large; a")],
)  # fmt: skip
def test_a_picture_that_cannot_be_had_is_a_line(error: Exception, said: str) -> None:
    async def scenario() -> None:
        robot = Failing(error)
        async with serving(robot=robot) as page:
            await goes_on(page)
            assert set(robot.lines) - {line for line in robot.lines if "stop" in line} == {said}
            # Not in the loop that serves the emergency stop.
            assert all(name.startswith("pictures") for name in robot.threads)

    run(scenario)


def test_without_the_cameras_the_rest_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fails(feed: object) -> None:
        raise RuntimeError("nobody expected this")

    monkeypatch.setattr("vla_rl_nodes.operator.camera_feed.CameraFeed._make", fails)

    async def scenario() -> None:
        async with serving() as page:
            async with page.session.ws_connect(page.address + "cameras"):
                await until(lambda: any("not shown any more" in li for li in page.robot.lines))
            async with page.browser() as browser:
                assert (await browser.ask(kind="e_stop"))["ok"]
            assert not page.server.over.is_set()

    run(scenario)


def test_without_the_state_feed_the_page_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(feed: object, viewers: object) -> None:
        raise RuntimeError("nobody expected this")

    monkeypatch.setattr("vla_rl_nodes.operator.state_feed.StateFeed._show", fails)

    async def scenario() -> None:
        async with serving() as page, page.browser():
            await until(page.server.over.is_set)
            assert "nobody expected" in page.server.problem

    run(scenario)
