"""Stops from random states: at rest in the end, exact cubics, inside every limit."""

from __future__ import annotations

import numpy as np
import pytest
import ruckig
from hypothesis import given, settings
from hypothesis import strategies as st

from vla_rl_nodes.safety.stop import Plan, Stopping, resting

DT = 0.01
MOST = np.array([10.0, 7.5, 20.0])


def stopping(ramp: int) -> Stopping:
    """Limits with which the acceleration turns from end to end in ``ramp`` ticks."""
    return Stopping(MOST, 2.0 * MOST / (ramp * DT), DT)


def states(ramp: int, seed: int) -> tuple[Stopping, Plan, np.ndarray]:
    rng = np.random.default_rng(seed)
    of = stopping(ramp)
    q, v = rng.uniform(-2, 2, 3), rng.uniform(-2, 2, 3)
    return of, of.plan(q, v, rng.uniform(-1, 1, 3) * MOST), np.array([q, v])


@pytest.mark.parametrize("ramp", [1, 2, 5])
@given(seed=st.integers(0, 10_000))
@settings(max_examples=60, deadline=None)
def test_it_ends_at_rest_within_the_limits(ramp: int, seed: int) -> None:
    of, plan, start = states(ramp, seed)
    assert of.ramp == ramp
    np.testing.assert_array_equal(plan.q[0], start[0])
    np.testing.assert_array_equal(plan.v[0], start[1])
    assert (plan.v[-1] == 0.0).all() and (plan.a[-1] == 0.0).all()
    assert (np.abs(plan.a) <= of.acceleration * (1 + 1e-9)).all()
    assert (np.abs(np.diff(plan.a, axis=0)) <= of.jerk * DT * (1 + 1e-9)).all()


@given(seed=st.integers(0, 10_000))
@settings(max_examples=60, deadline=None)
def test_its_knots_are_joined_by_cubics(seed: int) -> None:
    _, plan, _ = states(3, seed)
    q, v, a = plan
    v_after = v[:-1] + (a[:-1] + a[1:]) * DT / 2
    q_after = q[:-1] + v[:-1] * DT + (2 * a[:-1] + a[1:]) * DT * DT / 6
    np.testing.assert_allclose(v[1:], v_after, atol=1e-12)
    np.testing.assert_allclose(q[1:], q_after, atol=1e-12)


@given(seed=st.integers(0, 10_000))
@settings(max_examples=60, deadline=None)
def test_after_the_ramp_every_joint_only_slows_down(seed: int) -> None:
    of, plan, _ = states(4, seed)
    speeds = np.abs(plan.v[of.ramp :])
    assert (np.diff(speeds, axis=0) <= 1e-12).all()
    assert (plan.v[of.ramp :] * plan.v[of.ramp] >= -1e-12).all()


@pytest.mark.parametrize("ramp", [1, 2, 5])
def test_it_takes_at_most_a_ramp_and_two_ticks_longer_than_ruckig(ramp: int) -> None:
    of = stopping(ramp)
    rng = np.random.default_rng(0)
    otg = ruckig.Ruckig(3)
    for _ in range(200):
        v, a = rng.uniform(-2, 2, 3), rng.uniform(-0.9, 0.9, 3) * MOST
        problem = ruckig.InputParameter(3)
        problem.control_interface = ruckig.ControlInterface.Velocity
        problem.current_position = [0.0] * 3
        problem.current_velocity, problem.current_acceleration = v.tolist(), a.tolist()
        problem.target_velocity, problem.target_acceleration = [0.0] * 3, [0.0] * 3
        problem.max_acceleration, problem.max_jerk = MOST.tolist(), of.jerk.tolist()
        shortest = ruckig.Trajectory(3)
        assert otg.calculate(problem, shortest) is not None
        ticks = len(of.plan(np.zeros(3), v, a).q) - 1
        assert ticks * DT <= shortest.duration + (max(ramp, 2 * ramp - 1) + 2) * DT


def test_a_stop_from_the_middle_of_a_stop_goes_on_alike() -> None:
    of = stopping(2)
    v = np.array([1.0, -0.4, 1.5])
    plan = of.plan(np.zeros(3), v, np.zeros(3))
    middle = len(plan.q) // 2
    again = of.plan(plan.q[middle], plan.v[middle], plan.a[middle])
    np.testing.assert_allclose(again.q[-1], plan.q[-1], atol=2e-3)
    assert len(again.q) - 1 <= len(plan.q) - 1 - middle + of.ramp


def test_what_is_left_of_a_plan() -> None:
    plan = stopping(1).plan(np.zeros(3), np.ones(3), np.zeros(3))
    np.testing.assert_array_equal(plan.after().q, plan.q[1:])
    np.testing.assert_array_equal(plan.after(1000).q, plan.q[-1:])
    np.testing.assert_array_equal(resting(np.ones(3)).after().q, np.ones((1, 3)))


def test_room_keeps_the_next_knot_and_its_stop_within_the_velocities() -> None:
    of = stopping(3)
    rng = np.random.default_rng(1)
    fastest = np.array([1.0, 1.5, 0.8])
    tried = 0
    for _ in range(300):
        v, a = rng.uniform(-1, 1, 3) * fastest, rng.uniform(-1, 1, 3) * MOST
        lower, upper = of.room(v, a, -fastest, fastest)
        if not (lower <= upper).all():
            continue
        tried += 1
        for after in (lower, upper):
            assert of.reaches(a, after)
            plan = of.plan(np.zeros(3), v + (a + after) * DT / 2, after)
            grown = plan.v[:-1] + plan.a[:-1] * DT / 4
            inside = (np.abs(v + (a + after) * DT / 2) <= fastest).all()
            if inside:
                assert (np.abs(plan.v) <= fastest * (1 + 1e-9)).all()
                assert (np.abs(grown) <= fastest * (1 + 1e-9)).all()
    assert tried > 50


def test_reaches_asks_for_jerk_and_acceleration() -> None:
    of = stopping(2)
    assert of.reaches(np.zeros(3), MOST)
    assert not of.reaches(np.zeros(3), MOST * 1.001)
    assert not of.reaches(-0.5 * MOST, 0.6 * MOST)
    assert not of.reaches(np.zeros(3), np.full(3, np.nan))
