"""What the judge takes controllers to do unheard, and what it then holds against the filter."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from vla_rl_nodes.bench.safety.bounds import Bounds, read_bounds
from vla_rl_nodes.bench.safety.checker import Checker
from vla_rl_nodes.bench.safety.streams import Controller, Leeway, Violation, gone_on
from vla_rl_nodes.resources import resource

Array = NDArray[np.float64]

DT = 0.01
HOME = np.array([0.0, -0.7853981633974483, 0.0, -2.356194490192345, 0.0, 1.5707963267948966,
                 0.7853981633974483])  # fmt: skip
JERK = 400.0  # rad/s^3, of the first joint


class Plan(NamedTuple):
    q: Array
    v: Array
    a: Array


@pytest.fixture(scope="module")
def bounds() -> Bounds:
    return read_bounds(
        resource("config/robots/fr3.yaml"),
        resource("config/safety/franka_pick.yaml"),
        resource("urdf/fr3.urdf"),
    )


def led(start: tuple[float, float, float], jerks: list[float]) -> Plan:
    """The first joint's motion with a constant jerk in each tick; the others stand."""
    q, v, a = start
    rows = []
    for jerk in jerks:
        q += DT * (v + DT * (a / 2 + DT * jerk / 6))
        v += DT * (a + DT * jerk / 2)
        a += DT * jerk
        rows.append((q, v, a))
    count = len(rows)
    plan = Plan(np.tile(HOME, (count, 1)), np.zeros((count, 7)), np.zeros((count, 7)))
    for values, column in zip(plan, np.array(rows).T, strict=True):
        values[:, 0] = column
    plan.v[-1], plan.a[-1] = 0.0, 0.0  # rounding
    return plan


def moving(bounds: Bounds, controller: Controller) -> tuple[Checker, Plan]:
    """A judge that has seen two ticks of a motion, at speed, and the plan of the second."""
    checker = Checker(bounds, DT, controller=controller)
    checker.start(HOME, 0.08)
    first = led((0.0, 0.0, 0.0), [JERK, -JERK, -JERK, JERK])
    checker.tick(first, 0.08)
    now = (float(first.q[0, 0]), float(first.v[0, 0]), float(first.a[0, 0]))
    plan = led(now, [-JERK, -JERK, JERK])
    checker.tick(plan, 0.08)
    return checker, plan


def kinds(checker: Checker) -> set[str]:
    checker.flush()
    return {violation.kind for violation in checker.violations}


def after(plan: Plan, row: int) -> Plan:
    return Plan(plan.q[row:], plan.v[row:], plan.a[row:])


def test_a_trajectory_goes_on_along_its_stop(bounds: Bounds) -> None:
    checker, plan = moving(bounds, "trajectory")
    checker.tick(after(plan, 2), 0.08, skipped=1)
    assert kinds(checker) == set()


@pytest.mark.parametrize("controller", ["positions", "velocities"])
def test_a_stream_does_not_go_on_along_the_stop(bounds: Bounds, controller: Controller) -> None:
    checker, plan = moving(bounds, controller)
    checker.tick(after(plan, 2), 0.08, skipped=1)
    assert "continuity" in kinds(checker)


def test_positions_stand_where_they_were(bounds: Bounds) -> None:
    checker, plan = moving(bounds, "positions")
    here = float(plan.q[0, 0])
    checker.tick(led((here, 0.0, 0.0), [JERK, -JERK, -JERK, JERK]), 0.08, skipped=5)
    assert kinds(checker) == set()


def test_velocities_go_on(bounds: Bounds) -> None:
    checker, plan = moving(bounds, "velocities")
    speed = float(plan.v[0, 0])
    there = float(plan.q[0, 0]) + 5 * DT * speed
    share = speed / (DT * DT)  # one jerk down and one up take the speed away
    checker.tick(led((there, speed, 0.0), [-share, share]), 0.08, skipped=5)
    assert kinds(checker) == set()


def test_gone_on() -> None:
    q, v = np.array([1.0, 2.0]), np.array([0.5, -1.0])
    assert gone_on("trajectory", q, v, 0.1) is None
    held = gone_on("positions", q, v, 0.1)
    assert held is not None
    np.testing.assert_array_equal(held, ([1.0, 2.0], [0.0, 0.0]))
    coasted = gone_on("velocities", q, v, 0.1)
    assert coasted is not None
    np.testing.assert_allclose(coasted, ([1.05, 1.9], [0.5, -1.0]))


def broken(kind: str, tick: int, excess: float, detail: str = "joint1") -> Violation:
    return Violation(kind, tick, False, excess, detail)


def test_only_what_the_first_stop_ran_into_is_excused() -> None:
    leeway = Leeway()
    leeway.coasted(10)
    leeway.follows(11)
    leeway.follows(13)  # of another plan, at tick 12
    found = [
        broken("position", 9, 0.1),  # before
        broken("position", 10, 0.1),  # the stop itself
        broken("jerk", 10, 1.0),  # never excused
        broken("position", 11, 0.15),  # the stop's next piece
        broken("position", 12, 0.15),  # as far
        broken("position", 13, 0.2),  # further
        broken("position", 13, 0.1, "joint2"),  # another joint
    ]
    assert leeway.judge(found, 14) == [found[0], found[2], found[5], found[6]]
    assert leeway.excused == 3
    # The next batch is still of the same motion.
    assert leeway.judge([broken("position", 20, 0.05)], 21) == []


def test_a_stop_that_two_batches_share() -> None:
    leeway = Leeway()
    leeway.coasted(10)
    leeway.judge([broken("plane", 10, 0.1)], 11)
    leeway.follows(11)
    assert leeway.judge([broken("plane", 11, 0.2)], 12) == []


def test_arming_and_the_next_coasting_end_it() -> None:
    leeway = Leeway()
    leeway.coasted(1)
    leeway.judge([broken("plane", 1, 0.1)], 2)
    leeway.armed(5)
    late = broken("plane", 6, 0.05)
    assert leeway.judge([broken("plane", 4, 0.05), late], 7) == [late]
    leeway.coasted(8)
    leeway.judge([broken("plane", 8, 0.1)], 9)
    leeway.coasted(12)  # to where the stop breaks nothing
    assert leeway.judge([], 13) == []
    late = broken("plane", 14, 0.05)
    assert leeway.judge([late], 15) == [late]
