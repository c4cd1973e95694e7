"""The judge reports nothing on good plans, and each corruption as exactly what it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from vla_rl_nodes.bench.safety.bounds import Bounds, read_bounds
from vla_rl_nodes.bench.safety.checker import Checker
from vla_rl_nodes.bench.safety.distance import plane_distance
from vla_rl_nodes.bench.safety.knots import check_intervals
from vla_rl_nodes.bench.safety.shapes import placed, read_shapes
from vla_rl_nodes.bench.safety.surroundings import Surroundings
from vla_rl_nodes.resources import resource

Array = NDArray[np.float64]

DT = 0.01
HOME = np.array([0.0, -0.7853981633974483, 0.0, -2.356194490192345, 0.0, 1.5707963267948966,
                 0.7853981633974483])  # fmt: skip
RAMP, CRUISE = 8, 10


class Plan(NamedTuple):
    q: Array
    v: Array
    a: Array

    def from_row(self, row: int) -> Plan:
        return Plan(self.q[row:], self.v[row:], self.a[row:])


@pytest.fixture(scope="module")
def bounds() -> Bounds:
    return read_bounds(
        resource("config/robots/fr3.yaml"),
        resource("config/safety/franka_pick.yaml"),
        resource("urdf/fr3.urdf"),
    )


def move(step: Array, start: Array = HOME) -> Plan:
    """A motion by ``step`` from rest to rest, jerk constant in each tick, knots after the first.

    Jerk up, down, then, after a cruise, down, up: each for RAMP ticks.
    """
    pattern = np.repeat([1.0, -1.0, 0.0, -1.0, 1.0], [RAMP, RAMP, CRUISE, RAMP, RAMP])
    shape = np.zeros((len(pattern) + 1, 3))  # q, v, a of unit jerk
    for k, jerk in enumerate(pattern):
        q, v, a = shape[k]
        shape[k + 1] = (
            q + DT * v + DT**2 / 2 * a + DT**3 / 6 * jerk,
            v + DT * a + DT**2 / 2 * jerk,
            a + DT * jerk,
        )
    shape = shape[1:] / shape[-1, 0]
    shape[-1, 1:] = 0.0
    shape[-1, 0] = 1.0
    return Plan(*(np.outer(shape[:, i], step) + (start if i == 0 else 0.0) for i in range(3)))


STEP = np.array([0.1, 0.05, -0.08, 0.06, 0.1, 0.05, -0.1])
GOOD = move(STEP)


def judged(
    bounds: Bounds, plan: Plan, change: Callable[[int, Plan], Plan] = lambda _, plan: plan
) -> set[str]:
    """The kinds of violation when a motion is handed over tick by tick, each time with the rest
    of it; ``change`` may corrupt what a tick hands over."""
    checker = Checker(bounds, DT)
    checker.start(HOME, 0.08)
    for row in range(len(plan.q)):
        checker.tick(change(row, plan.from_row(row)), 0.08)
    checker.flush()
    return {violation.kind for violation in checker.violations}


def test_a_good_motion_is_good(bounds: Bounds) -> None:
    assert judged(bounds, GOOD) == set()


def test_a_good_motion_with_missed_ticks_is_good(bounds: Bounds) -> None:
    checker = Checker(bounds, DT)
    checker.start(HOME, 0.08)
    row = 0
    for skipped in (0, 3, 0, 7, 1, 0, 12):
        row += skipped
        checker.tick(GOOD.from_row(row), 0.08, skipped)
        row += 1
    state = checker.state
    assert state is not None
    np.testing.assert_array_equal(state[0], GOOD.q[row - 1])
    for _ in range(len(GOOD.q)):
        checker.tick(None, None)  # the controller goes on alone
    state = checker.state
    assert state is not None
    np.testing.assert_array_equal(state[0], GOOD.q[-1])
    checker.flush()
    assert checker.violations == []


@pytest.mark.parametrize("name", ["v_max", "a_max", "j_max"])
def test_each_derivative_is_held_to_its_own_limit(bounds: Bounds, name: str) -> None:
    kind = {"v_max": "velocity", "a_max": "acceleration", "j_max": "jerk"}[name]
    jerk = np.diff(np.vstack([np.zeros(7), GOOD.a]), axis=0) / DT
    # Between two knots the velocity may be higher than at either; here it peaks at one.
    peak = np.abs({"v_max": GOOD.v, "a_max": GOOD.a, "j_max": jerk}[name]).max(axis=0)
    for joint in range(7):
        limit = getattr(bounds, name).copy()
        limit[joint] = 1.001 * peak[joint]
        assert judged(replace(bounds, **{name: limit}), GOOD) == set()
        limit[joint] = 0.999 * peak[joint]
        assert judged(replace(bounds, **{name: limit}), GOOD) == {kind}


def test_the_velocity_between_two_knots_counts(bounds: Bounds) -> None:
    """A tick with an acceleration that changes sign is fastest in its middle."""
    v, a = np.zeros((1, 7)), np.zeros((1, 7))
    v[0, 0], a[0, 0] = 1.0, 5.0
    jerk = -2.0 * a / DT
    one = (HOME[None], v, a)
    other = (HOME + DT * v + DT**2 / 2 * a + DT**3 / 6 * jerk, v, -a)
    limit = bounds.v_max.copy()
    limit[0] = 1.0 + 0.9 * 5.0 * DT / 4  # the peak is v + a * dt / 4
    free = replace(bounds, v_max=limit, j_max=np.full(7, 1e9), margin=np.full((7, 2), np.nan))
    assert {b.kind for b in check_intervals(free, one, other, DT)} == {"velocity"}
    limit[0] = 1.0 + 1.1 * 5.0 * DT / 4
    assert check_intervals(replace(free, v_max=limit), one, other, DT) == []


@pytest.mark.parametrize("joint", range(7))
def test_a_joint_beyond_its_range(bounds: Bounds, joint: int) -> None:
    still = np.full((7, 2), np.nan)  # without position-dependent velocities
    edge = (bounds.q_max if STEP[joint] > 0 else bounds.q_min).copy()
    name = "q_max" if STEP[joint] > 0 else "q_min"
    sign = np.sign(STEP[joint])
    edge[joint] = GOOD.q[-1, joint] + sign * 1e-6
    assert judged(replace(bounds, margin=still, **{name: edge}), GOOD) == set()
    edge[joint] = GOOD.q[-1, joint] - sign * 1e-6
    assert judged(replace(bounds, margin=still, **{name: edge}), GOOD) == {"position"}


def test_the_velocity_limit_closes_towards_a_joint_limit(bounds: Bounds) -> None:
    """FR3: sqrt(2 * deceleration * distance) - offset, times the share."""
    offset, deceleration = bounds.margin[0]
    # Where the limit would have to lie so that each knot is exactly as fast as it may be.
    room = (GOOD.v[:, 0] / bounds.v_scale + offset) ** 2 / (2.0 * deceleration)
    closest = float((GOOD.q[:, 0] + room)[GOOD.v[:, 0] > 1e-3].max())
    top = bounds.q_max.copy()
    for shift, expected in ((1e-3, set()), (-1e-3, {"velocity"})):
        top[0] = closest + shift
        assert judged(replace(bounds, q_max=top), GOOD) == expected


def test_a_tail_that_does_not_rest(bounds: Bounds) -> None:
    assert judged(bounds, GOOD, lambda row, plan: Plan(*(x[:-1] for x in plan))
                  if row == 4 else plan) == {"rest"}  # fmt: skip


@pytest.mark.parametrize(("part", "size"), [("q", 1e-6), ("v", 1e-4), ("a", 1e-1)])
def test_a_seam_that_leaps(bounds: Bounds, part: str, size: float) -> None:
    def leap(row: int, plan: Plan) -> Plan:
        if row != 12:
            return plan
        other = plan._replace(**{part: getattr(plan, part).copy()})
        getattr(other, part)[0, 2] += size
        return other

    assert judged(bounds, GOOD, leap) == {"continuity"}


def test_a_plan_from_elsewhere(bounds: Bounds) -> None:
    def shifted(row: int, plan: Plan) -> Plan:
        return plan._replace(q=plan.q + 1e-6) if row >= 12 else plan

    assert judged(bounds, GOOD, shifted) == {"continuity"}


def test_not_a_number(bounds: Bounds) -> None:
    def spoilt(row: int, plan: Plan) -> Plan:
        q = plan.q.copy()
        q[-1, 3] = np.nan
        return plan._replace(q=q) if row == 12 else plan

    assert judged(bounds, GOOD, spoilt) == {"finite"}


def test_a_fault_in_the_tail_alone_is_found(bounds: Bounds) -> None:
    """A plan whose tail nobody ever drove: the next tick brings another."""

    def bad_tail(row: int, plan: Plan) -> Plan:
        if row != 12:
            return plan
        v = plan.v.copy()
        v[7, 1] += 1e-4
        return plan._replace(v=v)

    assert judged(bounds, GOOD, bad_tail) == {"continuity"}


def workspace(bounds: Bounds, shift: float) -> Bounds:
    """A box that the good motion's tool touches from inside, but for ``shift``."""
    points = Surroundings(bounds).tool(GOOD.q).position
    assert bounds.workspace is not None
    box = bounds.workspace.copy()
    box[1, 1] = points[:, 1].max() + shift
    return replace(bounds, workspace=box)


def test_the_tool_leaves_the_workspace(bounds: Bounds) -> None:
    assert judged(workspace(bounds, 1e-4), GOOD) == set()
    assert judged(workspace(bounds, -3e-4), GOOD) == {"workspace"}


def test_a_tool_that_began_outside_must_not_go_further_out(bounds: Bounds) -> None:
    box = workspace(bounds, 0.0).workspace
    assert box is not None
    outside = box.copy()
    outside[0, 1] = 0.02  # the arm begins at y = 0 and goes on towards +y
    assert judged(replace(bounds, workspace=outside), GOOD) == set()
    outside[:, 1] = (-0.5, -0.02)  # beyond the upper face, and further out
    assert judged(replace(bounds, workspace=outside), GOOD) == {"workspace"}


def test_the_tool_is_too_fast(bounds: Bounds) -> None:
    rooms = Surroundings(bounds).rooms(GOOD.q, np.zeros(len(GOOD.q)), GOOD.v)
    top = float(rooms.speed.max())
    points = Surroundings(bounds).tool(GOOD.q).position
    measured = np.linalg.norm(points[2:] - points[:-2], axis=1).max() / (2 * DT)
    assert top == pytest.approx(measured, rel=1e-3)
    assert judged(replace(bounds, tool_speed=1.02 * top), GOOD) == set()
    assert judged(replace(bounds, tool_speed=0.98 * top), GOOD) == {"tool_speed"}


def test_a_plane_comes_too_near(bounds: Bounds) -> None:
    """A wall in front of the hand, whose box is 0.204 m wide along y of the hand."""
    chain = Surroundings(bounds).chain
    at = chain.place(GOOD.q, np.full(len(GOOD.q), 0.08))
    normal = np.array([0.0, -1.0, 0.0])
    reach = min(
        float(plane_distance(placed(s, at.frames[s.link]), normal, 0.0).min())
        for s in read_shapes(chain) if chain.way(s.link)
    )  # fmt: skip
    for room, expected in ((1e-4, set()), (-3e-4, {"plane"})):
        wall = ("wall", normal, reach - 0.02 - room, 0.02, 0.02)
        assert judged(replace(bounds, walls=(wall,)), GOOD) == expected


def test_an_obstacle_comes_too_near(bounds: Bounds) -> None:
    """A small box beside where the hand ends, 0.102 m from the middle of the hand."""
    hand = Surroundings(bounds).tool(GOOD.q).position[-1] + np.array([0.0, 0.0, 0.07])
    for gap, expected in ((0.05, set()), (0.01, {"obstacle"})):
        centre = hand + np.array([0.0, 0.102 + 0.02 + gap, 0.0])
        box = ("box", centre, np.full(3, 0.02), 0.3, 0.02, 0.02)
        assert judged(replace(bounds, boxes=(box,)), GOOD) == expected


def test_the_arm_comes_too_near_to_itself(bounds: Bounds) -> None:
    """The margin is widened to just below and above what the motion leaves."""
    folding = move(np.array([0.0, 0.0, 0.0, -0.5, 0.0, 0.3, 0.0]))
    surroundings = Surroundings(replace(bounds, self_margin=0.2))
    rooms = surroundings.rooms(folding.q, np.zeros(len(folding.q)))
    own = rooms.pairs[:, [kind == "self_collision" for kind in surroundings.kinds]]
    least = float(own.min()) + 0.2
    slow = replace(bounds, v_max=bounds.v_max * 10, a_max=bounds.a_max * 10, walls=(),
                   j_max=bounds.j_max * 10, workspace=None, tool_speed=None,
                   margin=np.full((7, 2), np.nan))  # fmt: skip
    assert judged(replace(slow, self_margin=least - 2e-3), folding) == set()
    assert judged(replace(slow, self_margin=least + 2e-3), folding) == {"self_collision"}


def test_the_gripper(bounds: Bounds) -> None:
    for widths, expected in (
        ((0.08, 0.079, 0.078), set()),
        ((0.08, 0.0785, 0.078), {"gripper"}),
        ((0.08, 0.081, 0.08), {"gripper"}),
    ):
        checker = Checker(bounds, DT)
        checker.start(HOME, 0.08)
        for row, width in enumerate(widths):
            checker.tick(GOOD.from_row(row), width)
        checker.flush()
        assert {violation.kind for violation in checker.violations} == expected


def test_a_legs_trunk_too_low() -> None:
    config = Path(resource("config/robots/go2.yaml"))
    bounds = read_bounds(config, resource("config/safety/go2.yaml"), resource("urdf/go2.urdf"))
    home = np.tile([0.0, 0.8, -1.5], 4)
    crouch = move(np.tile([0.0, 0.2, -0.4], 4), home)
    height = float(_height(bounds, crouch.q[-1:]))
    assert height < float(_height(bounds, home[None])) - 0.02
    for room, expected in ((1e-4, set()), (-3e-4, {"height"})):
        checker = Checker(replace(bounds, height=(height - room, 0.4)), DT)
        checker.start(home, None)
        for row in range(len(crouch.q)):
            checker.tick(crouch.from_row(row), None)
        checker.flush()
        assert {violation.kind for violation in checker.violations} == expected


def _height(bounds: Bounds, q: Array) -> float:
    return float(Surroundings(bounds).rooms(q, np.zeros(len(q))).height[0])


def driven(bounds: Bounds, rows: int) -> Checker:
    """A judge that has seen so many ticks of the good motion."""
    checker = Checker(bounds, DT)
    checker.start(HOME, 0.08)
    for row in range(rows):
        checker.tick(GOOD.from_row(row), 0.08)
    return checker


def kinds(checker: Checker) -> set[str]:
    checker.flush()
    return {violation.kind for violation in checker.violations}


def test_armed_again_where_it_was_held_or_where_it_was_moved_to(bounds: Bounds) -> None:
    for away in (0.01, 1e-6):  # by hand, or as the drives lag
        for start in (GOOD.q[-1], GOOD.q[-1] - away):
            checker = driven(bounds, len(GOOD.q))
            checker.start(GOOD.q[-1] - away, 0.08)
            for row in range(5):
                checker.tick(move(-STEP, start).from_row(row), 0.08)
            assert kinds(checker) == set()


def test_armed_again_from_neither(bounds: Bounds) -> None:
    checker = driven(bounds, len(GOOD.q))
    checker.start(GOOD.q[-1] - 0.01, 0.08)
    checker.tick(move(-STEP, GOOD.q[-1] - 0.02), 0.08)
    assert "continuity" in kinds(checker)


def test_armed_while_the_controller_moves(bounds: Bounds) -> None:
    checker = driven(bounds, 10)
    checker.start(GOOD.q[9], 0.08)
    assert kinds(checker) == {"start"}


def test_a_plan_without_arming(bounds: Bounds) -> None:
    checker = Checker(bounds, DT)
    checker.tick(GOOD, 0.08)
    assert kinds(checker) == {"start"}


def test_each_violation_says_when_and_of_what(bounds: Bounds) -> None:
    limit = bounds.a_max.copy()
    limit[4] = 0.5 * np.abs(GOOD.a[:, 4]).max()
    checker = driven(replace(bounds, a_max=limit), 12)
    checker.flush()
    first = checker.violations[0]
    assert (first.kind, first.detail, first.tick) == ("acceleration", "fr3_joint5", 0)
    assert first.tail and 0 < first.excess <= limit[4] * 1.01
    passed = int(np.argmax(np.abs(GOOD.a[:, 4]) > limit[4]))
    assert passed < 12
