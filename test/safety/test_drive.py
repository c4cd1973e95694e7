"""The target and the motion of one arming, and the ways to come to rest."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from vla_rl_nodes.safety.drive import Drive
from vla_rl_nodes.safety.reasons import NONE

from .fakes import FakeRig


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch) -> FakeRig:
    return FakeRig(monkeypatch)


def new_drive(rig: FakeRig, width: float = 0.05) -> Drive:
    clearance: Any = None  # the stand-ins look at nothing
    return Drive(
        rig.robot, rig.kinematics, clearance, rig.contract, rig.limits, rig.robot.home, width
    )


def action(x: float) -> np.ndarray:
    return np.array([x, 0.0, 0.0, 0.0, 0.04])


def moving(rig: FakeRig) -> Drive:
    drive = new_drive(rig)
    for x in (0.01, 0.01, 0.01):
        drive.accept(action(x))
        for _ in range(4):
            assert drive.follow() == NONE
    return drive


@pytest.mark.parametrize(("measured", "opening"), [(0.05, 0.05), (0.2, 0.08)])
def test_the_opening_begins_within_the_gripper(
    rig: FakeRig, measured: float, opening: float
) -> None:
    assert new_drive(rig, measured).width == opening


def test_the_target_begins_anew_once_where_the_stop_ends(rig: FakeRig) -> None:
    drive = moving(rig)
    drive.settle()
    assert not drive.at_rest and "restart" not in rig.target.calls
    for _ in range(6):
        drive.stop()
        drive.settle()
    assert drive.at_rest and rig.target.calls.count("restart") == 1
    np.testing.assert_array_equal(rig.target.now, drive.q)
    assert rig.motion.calls == ["restart_reference"]


def test_a_retreat_waits_for_the_stop_and_ends_with_its_time(rig: FakeRig) -> None:
    drive = moving(rig)
    drive.order_retreat(0.07)
    assert drive.retreat() is None and drive.retreating
    while not drive.at_rest:
        drive.stop()
    drive.settle()
    before = drive.q.copy()
    ticks = 0
    while drive.retreat() is not None:
        ticks += 1
    assert ticks == 7 and not drive.retreating
    assert rig.target.calls.count("back") == 2  # one in each control period of five ticks
    assert (drive.q < before).all()


def test_a_retreat_without_a_way_is_over_at_once(rig: FakeRig) -> None:
    drive = new_drive(rig)
    drive.order_retreat(0.5)
    assert drive.retreat() is None and not drive.retreating
    drive.order_retreat(0.5)
    drive.cancel_retreat()
    assert not drive.retreating and drive.retreat() is None


def test_it_gives_way_once_in_a_control_period(rig: FakeRig) -> None:
    drive = new_drive(rig)
    for _ in range(6):
        drive.give_way(np.array([0.0, 0.6, -0.8]), 0.1)
    assert rig.target.calls == [("push", 0.0, 0.003, -0.004)] * 2
    drive.stand_firm()
    drive.give_way(np.array([1.0, 0.0, 0.0]), 0.1)
    assert rig.target.calls[-1] == ("push", 0.005, 0.0, 0.0) and len(rig.target.calls) == 3


@pytest.mark.parametrize("where", ["nan", "nan reference"])
def test_what_is_not_finite_is_a_failure(rig: FakeRig, where: str) -> None:
    drive = new_drive(rig)
    rig.target.fail.add(where)

    def one_tick() -> None:
        drive.accept(action(0.01))
        drive.follow()

    with pytest.raises(ArithmeticError, match="not finite"):
        one_tick()
    np.testing.assert_array_equal(drive.q, rig.robot.home)
