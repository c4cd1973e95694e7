"""The way back in mid-episode: through the contract's axes, whatever they are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from vla_rl_nodes.episodes.reset.kit import Kit
from vla_rl_nodes.episodes.reset.retreat import RetreatRun
from vla_rl_nodes.robots.kinematics import Kinematics
from vla_rl_nodes.robots.load import load_robot
from vla_rl_nodes.robots.tool_frame import rotation_from_yaw

from .fake_robot import FakeRobot

FR3 = load_robot("fr3")
KINEMATICS = Kinematics(FR3)


class Following(FakeRobot):
    """Also follows the contract's actions."""

    def obey(self, orders: Any) -> None:
        if self.state == "armed" and orders.action is not None:
            pose = self.kit.tool.fk(self.q)
            goal = pose.position + orders.action[:3]
            self.q = self.kit.tool.solve(self.q, goal, pose.rotation, posture=self.q).q
            self.command = float(orders.action[-1])
        super().obey(orders)


def test_it_opens_goes_up_and_gives_back(kit: Kit) -> None:
    robot = Following(kit)
    robot.state, robot.source, robot.width, robot.command = "armed", "policy", 0.02, 0.02
    robot.cube = None
    robot.q = KINEMATICS.solve(FR3.home, np.array([0.5, 0.0, 0.1]), rotation_from_yaw(0.0)).q

    def hand_over(fake: FakeRobot) -> None:
        active = fake.orders[-1].active
        fake.state, fake.source = "armed", "reset" if active else "policy"

    robot.meddle = hand_over
    run = RetreatRun(kit)
    before = KINEMATICS.fk(robot.q).position
    robot.run(run)
    assert run.done, run.reason
    rise = KINEMATICS.fk(robot.q).position - before
    assert rise[2] == pytest.approx(kit.settings.retreat_m, abs=1e-3)
    assert np.abs(rise[:2]).max() < 1e-3
    assert robot.width > 0.07
    assert robot.orders[0].active and robot.orders[0].action is None
    first = next(o.action for o in robot.orders if o.action is not None)
    assert first is not None and not first[:4].any()
    assert not robot.orders[-1].active
    # Up begins only once it is open, so that what it held falls from no height.
    widths = [o.action for o in robot.orders if o.action is not None and not o.action[2]]
    assert len(widths) > 5


@pytest.mark.parametrize(
    ("state", "source", "words"),
    [
        ("disarmed", "", "does not hand over: it is disarmed"),
        ("faulted", "", "does not hand over: it is faulted"),
    ],
)
def test_without_the_filter_it_says_so(kit: Kit, state: str, source: str, words: str) -> None:
    robot = Following(kit)

    def stay(fake: FakeRobot) -> None:
        fake.state, fake.source = state, source

    robot.arms, robot.meddle = False, stay
    stay(robot)
    run = RetreatRun(kit)
    robot.run(run)
    assert not run.done and words in run.reason
    assert not robot.orders[-1].active


def test_taken_over_by_a_person_it_ends(kit: Kit) -> None:
    robot = Following(kit)

    def person(fake: FakeRobot) -> None:
        fake.state = "armed"
        fake.source = "intervention" if len(fake.orders) > 8 else "reset"

    robot.meddle = person
    run = RetreatRun(kit)
    robot.run(run)
    assert "took command away" in run.reason


def test_an_arm_that_does_not_follow_is_said_so(kit: Kit) -> None:
    robot = FakeRobot(kit)  # follows no actions, as a filter does that is paused
    robot.arms = True
    run = RetreatRun(kit)
    robot.run(run)
    assert "the tool went back by 0.000 m of 0.100 m" in run.reason


@pytest.mark.parametrize("begins_s", [(0.9,), (0.2, 3.9, 7.6)])
def test_paused_it_waits_and_goes_on(kit: Kit, begins_s: tuple[float, ...]) -> None:
    """A filter that is paused takes no commands."""
    robot = Following(kit)
    robot.state, robot.source, robot.cube = "armed", "reset", None
    robot.width = robot.command = 0.02
    robot.q = KINEMATICS.solve(FR3.home, np.array([0.5, 0.0, 0.1]), rotation_from_yaw(0.0)).q
    start = robot.now

    def pause(fake: FakeRobot) -> None:
        paused = any(begin <= fake.now - start < begin + 3.0 for begin in begins_s)
        fake.reasons = {"paused"} if paused else set()
        fake.state = "holding" if paused else "armed"

    robot.meddle = pause
    run = RetreatRun(kit)
    before = KINEMATICS.fk(robot.q).position[2]
    robot.run(run)
    assert run.done, run.reason
    rise = KINEMATICS.fk(robot.q).position[2] - before
    assert rise == pytest.approx(kit.settings.retreat_m, abs=0.02)
    ups = [0.0 if o.action is None else o.action[2] for o in robot.orders]
    assert np.diff(ups).max() < 0.004  # from rest again, nothing leaps
    assert len(robot.orders) > 60 * len(begins_s)
    assert robot.width > 0.07


def test_a_cancel_ends_it(kit: Kit) -> None:
    robot = Following(kit)
    run = RetreatRun(kit)
    robot.obey(run.tick(robot.look()))
    assert run.cancel() and not run.cancel()
    assert not run.tick(robot.look()).active
    assert run.reason == "cancelled"
