"""The motion as a whole: exact where it may be, inside every limit where it is pushed."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vla_rl_nodes.safety.limits import SafetyLimits
from vla_rl_nodes.safety.motion import Motion
from vla_rl_nodes.safety.reasons import NONE, Reason
from vla_rl_nodes.safety.smoothing import Smoother
from vla_rl_nodes.safety.state import Missed

from .shaped import DT, along, clearance, kinematics, limits, motion, robot, stopping, tool_at


class Watched:
    """A motion whose every knot, and every stored stop, is held to the joints' limits, and whose
    tool is held to the box and the parts to their distances."""

    def __init__(self, of: Motion, allowed: SafetyLimits | None = None) -> None:
        self.of, self.limits = of, limits() if allowed is None else allowed
        self.stopping, self.near = stopping(self.limits), clearance(self.limits)
        self.reasons: list[Reason] = []
        self.knots = [(of.q, of.v, of.a)]

    def follow(self, reference: np.ndarray) -> Reason:
        self.reasons.append(self.of.follow(reference))
        self._check()
        return self.reasons[-1]

    def stop(self) -> None:
        self.of.stop()
        self._check()

    def _check(self) -> None:
        (q, v, a), of = self.knots[-1], self.of
        self.knots.append((of.q, of.v, of.a))
        rows = [(q, v, a), *zip(*of.plan, strict=True)]
        for one, other in itertools.pairwise(rows):
            self._tick(*one, *other)
        assert (of.plan.v[-1] == 0.0).all() and (of.plan.a[-1] == 0.0).all()
        box = self.limits.workspace
        if box is not None:
            points = kinematics().tool_points(of.plan.q)
            over = np.maximum(points - box.upper, box.lower - points).max()
            assert over <= self.limits.workspace_tolerance + 1e-9
        assert (self.near.distances(of.plan.q[-1]) - self.near.margins).min() >= -1e-5
        assert (self.near.distances(of.q) - self.near.margins).min() >= -1e-5

    def _tick(self, q, v, a, q1, v1, a1) -> None:  # type: ignore[no-untyped-def]
        np.testing.assert_allclose(v1, v + (a + a1) * DT / 2, atol=1e-11)
        np.testing.assert_allclose(q1, q + v * DT + (2 * a + a1) * DT**2 / 6, atol=1e-12)
        most = self.stopping
        assert (np.abs(a1) <= most.acceleration * (1 + 1e-9)).all()
        assert (np.abs(a1 - a) <= most.jerk * DT * (1 + 1e-9)).all()
        for share in (0.0, 0.5, 1.0):
            t = share * DT
            j = (a1 - a) / DT
            at = q + v * t + a * t**2 / 2 + j * t**3 / 6
            speed = v + a * t + j * t**2 / 2
            low, high = robot().velocity_bounds(at)
            scale = self.limits.velocity_scale
            assert (speed <= high * scale + 1e-7).all() and (speed >= low * scale - 1e-7).all()
            assert (at <= robot().position_max + 1e-9).all()
            assert (at >= robot().position_min - 1e-9).all()


def swing(k: int) -> np.ndarray:
    """A smooth joint motion inside all limits, at tick ``k``."""
    return robot().home + np.array([0.2, 0.08, -0.15, 0.1, 0.2, 0.12, -0.3]) * np.sin(
        np.linspace(0.8, 1.6, 7) * k * DT
    )


def test_a_motion_inside_the_limits_is_commanded_exactly() -> None:
    of = motion()
    watched = Watched(of)
    expected = Smoother(round(limits().smoothing_s / DT), DT, robot().home)
    # Ease in: the smooth motion begins at speed.
    for k in range(600):
        reference = robot().home + (swing(k) - robot().home) * min(k / 150, 1.0) ** 3
        assert watched.follow(reference) == NONE
        knot = expected.advance(reference)
        np.testing.assert_allclose(of.q, knot.q, atol=1e-9)
        np.testing.assert_allclose(of.v, knot.v, atol=1e-9)
        np.testing.assert_allclose(of.a, knot.a, atol=1e-7)


def test_after_a_push_it_returns_to_the_reference_exactly() -> None:
    watched = Watched(motion())
    target = robot().home + np.array([0.3, 0.0, 0.2, 0.0, -0.4, 0.0, 0.5])
    assert watched.follow(target) == Reason.JOINT_ACCELERATION  # a leap
    for _ in range(150):
        watched.follow(target)
    np.testing.assert_allclose(watched.of.q, target, atol=1e-12)
    assert watched.of.at_rest
    assert watched.reasons[-1] == NONE


@given(seed=st.integers(0, 10_000))
@settings(max_examples=8, deadline=None)
def test_wild_references_break_nothing(seed: int) -> None:
    rng = np.random.default_rng(seed)
    start = tool_at(*rng.uniform([0.4, -0.2, 0.1], [0.6, 0.2, 0.4]))
    watched = Watched(motion(start))
    reference = start
    for k in range(70):
        if k % rng.integers(1, 40) == 0:
            kind = rng.integers(3)
            if kind == 0:
                reference = rng.uniform(robot().position_min, robot().position_max)
            elif kind == 1:
                reference = start + rng.normal(size=7) * 0.5
            else:
                reference = watched.of.q
        if rng.random() < 0.05:
            watched.stop()
        else:
            watched.follow(reference)
    fastest = max(float(np.abs(v).max()) for _, v, _ in watched.knots)
    assert fastest > 0.05  # it was really moved; each tick was held to the limits above
    while not watched.of.at_rest:
        watched.stop()
    assert (watched.of.v == 0.0).all()


@pytest.mark.parametrize(
    ("direction", "reason"),
    [([0, 0, -1], Reason.COLLISION), ([0, 1, 0], Reason.WORKSPACE), ([1, 0, 0], Reason.WORKSPACE)],
)
def test_pushed_at_a_wall_it_comes_near_and_stays_there(
    direction: list[float], reason: Reason
) -> None:
    allowed = SafetyLimits.model_validate(
        limits().model_dump() | {"workspace": {"x": [0.25, 0.6], "y": [-0.3, 0.3],
                                               "z": [-0.1, 0.6]}})  # fmt: skip
    q = tool_at(0.5, 0.1, 0.2)
    watched = Watched(motion(q, allowed), allowed)
    reference, rooms, near = q, [], clearance(allowed)
    box = allowed.workspace
    assert box is not None
    for _ in range(200):
        # Led along the wall's normal, never more than a little ahead of the arm.
        step = along(watched.of.q, [0.3 * d for d in direction]) * DT
        reference = watched.of.q + np.clip(reference + step - watched.of.q, -0.08, 0.08)
        watched.follow(reference)
        if reason is Reason.WORKSPACE:
            point = kinematics().tool_points(watched.of.q[None])[0]
            rooms.append(float(((box.upper - point) * np.array(direction)).sum()))
        else:
            rooms.append(float((near.distances(watched.of.q) - near.margins).min()))
    assert any(reason in found for found in watched.reasons)
    # The stored stop is seldom needed: the projection leads along the wall.
    stops = sum(Reason.UNVERIFIED_STOP in found for found in watched.reasons)
    assert stops <= 40
    least = -0.002 if reason is Reason.WORKSPACE else -1e-5
    assert least <= min(rooms) < 0.001


def test_the_stored_stop_is_what_skipped_ticks_followed() -> None:
    of = motion()
    for k in range(60):
        of.follow(swing(k))
    plan = of.plan
    assert len(plan.q) > 4
    of.skip(3)
    np.testing.assert_array_equal(of.q, plan.q[3])
    np.testing.assert_array_equal(of.plan.q, plan.q[3:])
    of.skip(1000)
    assert of.at_rest
    np.testing.assert_array_equal(of.q, plan.q[-1])


def under_way(missed: Missed) -> Motion:
    of = Motion(robot(), kinematics(), clearance(), limits(), DT, robot().home, 0.08, missed)
    for k in range(60):
        of.follow(swing(k))
    assert np.abs(of.v).max() > 0.1
    return of


def test_a_held_position_is_gone_on_from_at_rest() -> None:
    of = under_way(Missed.HOLD)
    q, v = of.q, of.v
    of.skip(0)
    np.testing.assert_array_equal(of.v, v)
    of.skip(4)  # a leap of four ticks' motion would come of going on along the stop
    np.testing.assert_array_equal(of.q, q)
    assert of.at_rest and len(of.plan.q) == 1
    watched = Watched(of)
    for k in range(64, 120):
        watched.follow(swing(k))  # within the limits from rest
    for _ in range(150):
        watched.follow(swing(119))
    np.testing.assert_allclose(of.q, swing(119), atol=1e-9)


def test_a_velocity_that_went_on_is_gone_on_from() -> None:
    of = under_way(Missed.COAST)
    q, v = of.q, of.v
    of.skip(4)
    np.testing.assert_allclose(of.q, q + v * 4 * DT)
    np.testing.assert_array_equal(of.v, v)
    assert (of.plan.v[-1] == 0.0).all()


def test_a_stop_comes_to_rest_along_the_plan_and_a_restart_stays_there() -> None:
    watched = Watched(motion())
    for k in range(60):
        watched.follow(swing(k))
    plan = watched.of.plan
    for row in plan.q[1:]:
        watched.stop()
        np.testing.assert_array_equal(watched.of.q, row)
    assert watched.of.at_rest
    rest = watched.of.q
    watched.of.restart_reference()
    for _ in range(5):
        assert watched.follow(rest) == NONE
        np.testing.assert_allclose(watched.of.q, rest, atol=1e-12)


def test_the_gripper_moves_at_its_speed() -> None:
    of = motion()
    for _ in range(30):
        before = of.width
        of.follow(robot().home, 0.02)
        assert before is not None and of.width is not None
        assert 0.0 <= before - of.width <= 0.1 * DT + 1e-12
    assert of.width == pytest.approx(0.05)
    width = of.width
    of.stop()
    assert of.width == width


def test_tightening_slows_without_a_jolt() -> None:
    watched = Watched(motion())
    for k in range(200):
        reference = robot().home + (swing(2 * k) - robot().home) * min(k / 150, 1.0) ** 3
        watched.follow(reference)
    slow = SafetyLimits.model_validate(limits().model_dump() | {"velocity_scale": 0.02})
    watched.of.tighten(slow)
    for k in range(200, 300):
        watched.follow(swing(2 * k))
    assert (np.abs(watched.of.v) <= 0.02 * robot().velocity_max + 1e-9).all()
    assert all(watched.reasons[201:210])
