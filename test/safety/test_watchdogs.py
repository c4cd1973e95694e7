"""Clocks, overruns, joint states and tracking errors are judged in every tick."""

from __future__ import annotations

import numpy as np
import pytest

from vla_rl_nodes.robots.load import load_robot
from vla_rl_nodes.safety.limits import load_limits
from vla_rl_nodes.safety.reasons import Reason
from vla_rl_nodes.safety.state import Instant, Problem
from vla_rl_nodes.safety.watchdogs import Watchdogs

MS = 1_000_000
NOW = 10**15
ROBOT, LIMITS = load_robot("fr3"), load_limits("franka_pick")
HOME = ROBOT.home


def at(ros_ms: float, steady_ms: float | None = None) -> Instant:
    steady = ros_ms if steady_ms is None else steady_ms
    return Instant(NOW + round(ros_ms * MS), round(steady * MS))


def found(watchdogs: Watchdogs, now: Instant, skipped: int = 0) -> list[Reason]:
    return [problem.reason for problem in watchdogs.problems(now, skipped, HOME)]


@pytest.fixture
def watchdogs() -> Watchdogs:
    made = Watchdogs(ROBOT, LIMITS, tracking=True)
    made.follow_clocks(at(0))
    assert made.measured(NOW, at(0), ROBOT.joints, list(HOME)) is None
    return made


@pytest.mark.parametrize(
    ("now", "reasons"),
    [
        (at(10), []),
        (at(45, 10), []),
        (at(10, 45), []),
        (at(62, 10), [Reason.CLOCK_JUMP, Reason.STALE_STATE]),
        (at(-41, 10), [Reason.CLOCK_JUMP, Reason.FUTURE_STAMP]),
        (at(-1, -1), [Reason.CLOCK_JUMP]),
        (at(51), [Reason.STALE_STATE]),
        (at(30, 51), [Reason.STALE_STATE]),
    ],
)
def test_clocks_and_ages(watchdogs: Watchdogs, now: Instant, reasons: list[Reason]) -> None:
    assert found(watchdogs, now) == reasons


def test_a_jump_counts_from_the_last_tick(watchdogs: Watchdogs) -> None:
    for i in range(1, 5):  # 20 ms a tick is no jump, nor is what it adds up to
        now = at(30 * i, 10 * i)
        watchdogs.measured(now.ros_ns, now, ROBOT.joints, list(HOME))
        assert found(watchdogs, now) == []
    watchdogs.follow_clocks(at(10_000, 50))
    watchdogs.measured(at(10_000).ros_ns, at(10_000, 50), ROBOT.joints, list(HOME))
    assert found(watchdogs, at(10_010, 60)) == []


def test_too_many_missed_ticks_in_a_row(watchdogs: Watchdogs) -> None:
    assert found(watchdogs, at(10), 9) == []
    assert found(watchdogs, at(20), 10) == [Reason.TICK_OVERRUN]


def test_an_arm_that_is_elsewhere(watchdogs: Watchdogs) -> None:
    off = HOME.copy()
    off[4] -= 0.1501
    watchdogs.measured(NOW + MS, at(1), ROBOT.joints, list(off))
    problems = list(watchdogs.problems(at(2), 0, HOME))
    assert problems == [(Reason.TRACKING_ERROR, "fr3_joint5 is 0.150 rad from its command")]
    assert [p.reason for p in watchdogs.problems(at(3), 0, off)] == []
    base = Watchdogs(ROBOT, LIMITS, tracking=False)
    base.follow_clocks(at(0))
    base.measured(NOW, at(0), ROBOT.joints, list(off))
    assert list(base.problems(at(1), 0, np.zeros(3))) == []


def test_a_sample_is_given_only_when_fresh(watchdogs: Watchdogs) -> None:
    fresh = watchdogs.sample(at(50))
    assert not isinstance(fresh, Problem)
    np.testing.assert_array_equal(fresh.values, HOME)
    assert isinstance(watchdogs.sample(at(51)), Problem)
    watchdogs.set_limits(LIMITS.model_copy(update={"joint_state_timeout_s": 0.02}))
    assert isinstance(watchdogs.sample(at(21)), Problem)


def test_an_arm_is_at_rest_once_it_was_measured_in_one_place_for_20_ms() -> None:
    of = Watchdogs(ROBOT, LIMITS, tracking=True)
    assert not of.at_rest

    def measure(ms: float, offset: float) -> bool:
        assert of.measured(NOW + round(ms * MS), at(ms), ROBOT.joints, list(HOME + offset)) is None
        return of.at_rest

    assert measure(0, 0.0)  # one measurement alone tells nothing else
    assert not measure(4, 0.002)
    assert not measure(8, 0.0022)
    assert not measure(23, 0.0015)
    assert measure(24, 0.0025)
    assert not measure(28, 0.004)
    assert not measure(90, 0.004)  # after a silence
    assert measure(110, 0.004)
