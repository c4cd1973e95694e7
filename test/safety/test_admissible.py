"""Each limit of a plan on its own: kept when just inside, named when just outside."""

from __future__ import annotations

import numpy as np
import pytest

from vla_rl_nodes.robots.kinematics import Kinematics
from vla_rl_nodes.robots.load import load_robot
from vla_rl_nodes.safety.admissible import Admissible, Verdict
from vla_rl_nodes.safety.clearance import Clearance
from vla_rl_nodes.safety.limits import SafetyLimits, load_limits
from vla_rl_nodes.safety.reasons import NONE, Reason
from vla_rl_nodes.safety.smoothing import Knot
from vla_rl_nodes.safety.stop import Plan, Stopping

from .shaped import DT, admissible, along, kinematics, limits, robot, still, stopping, tool_at


def coasting(q: np.ndarray, v: np.ndarray) -> tuple[Knot, Plan]:
    """A knot at speed, and a plan that brakes from there."""
    zero = np.zeros(len(q))
    return Knot(q, v, zero), stopping().plan(q + v * DT, v, zero)


def test_home_at_rest_and_in_slow_motion_is_admissible() -> None:
    home = robot().home
    for v in (np.zeros(7), np.full(7, 0.1), np.full(7, -0.1)):
        assert admissible(home).verdict(*coasting(home, v)) == Verdict(NONE)


def test_a_nan_is_never_admissible() -> None:
    home = robot().home
    start, plan = coasting(home, np.full(7, 0.1))
    for field in ("q", "v", "a"):
        for row in (0, -1):
            broken = getattr(plan, field).copy()
            broken[row, 2] = np.nan
            assert admissible(home).verdict(start, plan._replace(**{field: broken})).reasons


@pytest.mark.parametrize("joint", range(7))
@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_velocity_limits_that_shrink_towards_the_ends(joint: int, sign: float) -> None:
    of = robot()
    free = SafetyLimits.model_validate(
        limits().model_dump() | {"workspace": None, "planes": [], "self_collision_margin": 0.0,
                                 "tool_speed_max": None})  # fmt: skip
    end = (of.position_max if sign > 0 else of.position_min)[joint]
    inside = outside = 0
    for distance in np.geomspace(0.05, 1.0, 14):
        q = of.home.copy()
        q[joint] = end - sign * distance
        bound = sign * of.velocity_bounds(q)[1 if sign > 0 else 0][joint] * limits().velocity_scale
        # Two ticks farther on, where the stop slows down, the limit is lower already.
        for share, fits in ((0.7, True), (1.02, False)):
            v = np.zeros(7)
            v[joint] = sign * share * bound
            if bound < 0.15:
                continue
            verdict = admissible(q, free).verdict(*coasting(q, v))
            if verdict.reasons & (Reason.SELF_COLLISION | Reason.COLLISION):
                continue
            assert (verdict.reasons == NONE) is fits, (distance, share, verdict)
            inside, outside = inside + fits, outside + (not fits)
    assert inside >= 2 and outside >= 3


def test_a_joint_whose_stop_would_end_beyond_its_range() -> None:
    arm = load_robot("ur5e")
    near = load_limits("ur5e")
    free = SafetyLimits.model_validate(
        near.model_dump() | {"workspace": None, "planes": [], "tool_speed_max": None}
    )
    stops = Stopping(arm.acceleration_max, arm.jerk_max * free.jerk_scale, DT)
    v = np.zeros(6)
    v[5] = 0.8
    stop = stops.plan(np.zeros(6), v, np.zeros(6)).q[-1, 5] + v[5] * DT
    for spare, reasons in ((1e-3, NONE), (-1e-3, Reason.JOINT_POSITION)):
        q = arm.home.copy()
        q[5] = arm.position_max[5] - stop - spare
        check = Admissible(arm, Kinematics(arm), Clearance(arm, free), free, stops)
        plan = stops.plan(q + v * DT, v, np.zeros(6))
        assert check.verdict(Knot(q, v, np.zeros(6)), plan).reasons == reasons


def test_acceleration_and_jerk_of_the_first_tick() -> None:
    home, stops = robot().home, stopping()
    for a, reasons in (
        (0.99 * stops.jerk * DT, NONE),
        (1.01 * stops.jerk * DT, Reason.JOINT_ACCELERATION),
    ):
        a = np.minimum(a, stops.acceleration * 1.5)
        plan = stops.plan(home + a * DT**2 / 6, a * DT / 2, a)
        verdict = admissible(home).verdict(still(home), plan)
        assert verdict.reasons == reasons


@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize("sign", [-1, 1])
def test_the_workspace_box_holds_for_the_stop_too(axis: int, sign: int) -> None:
    box, tolerance = limits().workspace, limits().workspace_tolerance
    assert box is not None
    middle = np.array([0.5, 0.0, 0.3])
    face = (box.upper if sign > 0 else box.lower)[axis]
    velocity = [0.0, 0.0, 0.0]
    velocity[axis] = sign * 0.1
    for spare, fits in ((0.03, True), (-0.001, False)):
        point = middle.copy()
        point[axis] = face - sign * spare
        q = tool_at(*point)
        start, plan = coasting(q, along(q, velocity))
        ends = kinematics().tool_points(plan.q)
        outside = (sign * (ends[:, axis] - face)).max()
        assert bool(outside <= tolerance) is fits  # what the case is meant to show
        verdict = admissible(q).verdict(start, plan)
        assert (verdict.reasons == NONE) is fits
        if not fits:
            assert verdict.reasons & (Reason.WORKSPACE | Reason.COLLISION)
            assert len(plan.q) - 1 in verdict.rows


def test_outside_the_box_the_tool_may_only_come_nearer() -> None:
    q = tool_at(0.5, 0.38, 0.3)
    out, back = along(q, [0.0, 0.05, 0.0]), along(q, [0.0, -0.05, 0.0])
    assert admissible(q).verdict(*coasting(q, out)).reasons is Reason.WORKSPACE
    assert admissible(q).verdict(*coasting(q, back)).reasons == NONE


def test_the_tools_speed() -> None:
    q = tool_at(0.5, 0.0, 0.3)
    slow = SafetyLimits.model_validate(limits().model_dump() | {"tool_speed_max": 0.3})
    for speed, reasons in ((0.29, NONE), (0.302, Reason.TOOL_SPEED)):
        verdict = admissible(q, slow).verdict(*coasting(q, along(q, [speed, 0.0, 0.0])))
        assert verdict.reasons == reasons


def test_the_table_and_the_arm_itself() -> None:
    low = tool_at(0.5, 0.0, 0.03)
    down = admissible(low).verdict(*coasting(low, along(low, [0.0, 0.0, -0.5])))
    assert Reason.COLLISION in down.reasons
    folded = robot().home.copy()
    folded[3], folded[1] = -2.9, 0.3
    v = np.zeros(7)
    v[3] = -0.3
    check = admissible(folded, SafetyLimits.model_validate(
        limits().model_dump() | {"workspace": None, "tool_speed_max": None,
                                 "self_collision_margin": 0.08}))  # fmt: skip
    assert Reason.SELF_COLLISION in check.verdict(*coasting(folded, v)).reasons


def test_a_trunk_keeps_its_height() -> None:
    dog, of = load_robot("go2"), load_limits("go2")
    assert of.body is not None
    stops = Stopping(dog.acceleration_max, dog.jerk_max * of.jerk_scale, DT)
    near = Clearance(dog, of)
    check = Admissible(dog, Kinematics(dog), near, of, stops)
    # All four legs stretch: thighs back, calves straight, at the same speed.
    v = np.tile([0.0, -1.0, 2.0], 4)
    reasons = []
    for share in np.linspace(0.0, 1.0, 40):
        q = dog.home + share * np.tile([0.0, -0.6, 0.66], 4)
        near.restart(q)
        plan = stops.plan(q + v * DT, v, np.zeros(12))
        height = float(near.heights(plan.q, tuple(dog.feet)).max())
        reason = check.verdict(Knot(q, v, np.zeros(12)), plan).reasons
        if reason is Reason.JOINT_POSITION:
            break
        reasons.append(reason)
        if height > of.body.height_max:
            assert reason is Reason.BODY
        elif height < of.body.height_max - 0.005:
            assert reason == NONE
    assert NONE in reasons and Reason.BODY in reasons


def test_tightening_holds_from_the_next_verdict_on() -> None:
    q = tool_at(0.5, 0.0, 0.3)
    check = admissible(q)
    motion = coasting(q, along(q, [0.4, 0.0, 0.0]))
    assert check.verdict(*motion).reasons == NONE
    check.tighten(SafetyLimits.model_validate(limits().model_dump() | {"tool_speed_max": 0.3}))
    assert check.verdict(*motion).reasons is Reason.TOOL_SPEED
