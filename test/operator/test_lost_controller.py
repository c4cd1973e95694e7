"""A controller who vanishes while driving: the real session holds the robot."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from intervention.conftest import make
from intervention.said import Play, changed, header

from vla_rl_nodes.intervention.session import State
from vla_rl_nodes.operator.jog import HZ, Jog
from vla_rl_nodes.operator.lease import Lease
from vla_rl_nodes.safety.state import Instant

FORWARD = (0.6, 0.0, 0.0, 0.0, 0.0, 0.0)
REST = (0.0,) * 6


class Page:
    """A browser in control and the page's joystick, in the time of a session that is played."""

    def __init__(self) -> None:
        self.play = Play(make("tool_delta"), [changed("page")])
        self.jog, self.lease = Jog(), Lease()
        self.lease.take(1, "op1", False)
        self.says: tuple[float, ...] | None = REST
        self._due_s = 0.0
        self.play.says.append(self._say)
        self.play.run(0.3)
        self.says = FORWARD
        self.play.run(0.6)
        assert self.play.session.state is State.ACTIVE and self.play.session.in_command

    @property
    def now_s(self) -> float:
        return self.play.now.steady_ns / 1e9

    def _say(self, now: Instant) -> None:
        now_s = now.steady_ns / 1e9
        if now_s < self._due_s:
            return
        self._due_s = now_s + 1.0 / HZ - 1e-6
        if self.says is not None and self.lease.holder == 1:
            self.jog.hear(self.says, False, now_s, now_s)
        sticks = self.jog.due(now_s, self.lease.holder is not None)
        if sticks is not None:
            message = SimpleNamespace(
                header=header(now.ros_ns), axes=list(sticks.axes), buttons=[int(sticks.gripper)]
            )
            assert self.play.device("page").hear(message, now) == ""


def stalls(page: Page) -> None:
    page.says = None


def is_gone(page: Page) -> None:
    page.lease.give(1)
    page.jog.lose()


def comes_back(page: Page) -> None:
    is_gone(page)
    page.play.run(0.1)
    page.lease.take(2, "op1", False)
    page.jog.begin(page.now_s)


def is_relieved(page: Page) -> None:
    page.lease.take(2, "op2", True)
    page.jog.begin(page.now_s)


@pytest.mark.parametrize("vanishes", [stalls, is_gone, comes_back, is_relieved])
def test_the_robot_is_held(vanishes: object) -> None:
    page = Page()
    vanishes(page)  # type: ignore[operator]
    session = page.play.session
    page.play.until(State.LOST, 1.5)
    page.play.states.clear()
    page.play.owned.clear()
    at = len(page.play.actions)
    page.play.run(3.0)
    assert set(page.play.states) == {State.LOST} and all(page.play.owned)
    assert not any(action[:4].any() for action in page.play.actions[at + 1 :])
    session.release()  # a person gives it back
    assert not session.in_command


def test_keys_that_are_let_go_give_the_robot_back() -> None:
    page = Page()
    page.says = REST
    page.play.until(State.IDLE, 2.0)
    assert not page.play.session.in_command


def test_who_is_back_drives_on_when_he_has_let_go_once() -> None:
    page = Page()
    stalls(page)
    page.play.until(State.LOST, 1.5)
    page.says = FORWARD
    page.play.run(1.0)
    assert page.play.session.state is State.LOST
    page.says = REST
    page.play.run(1.0)
    assert page.play.session.state is State.LOST
    page.says = FORWARD
    page.play.until(State.ACTIVE, 0.5)
