"""Tracking: as fast as the limits allow, on the line, and without overshoot."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla_rl_nodes.safety.tracker import braking_speed, chase

DT = 0.01
ACCELERATION = np.array([10.0, 5.0, 20.0])
FAST = np.array([2.0, 2.0, 2.0])


def run(q: np.ndarray, goal: np.ndarray, ticks: int, limit: np.ndarray = FAST) -> np.ndarray:
    path, velocity = [q], np.zeros(3)
    for _ in range(ticks):
        velocity = chase(goal - path[-1], velocity, DT, ACCELERATION, -limit, limit)
        path.append(path[-1] + velocity * DT)
    return np.array(path)


@given(st.floats(0.0, 1e4))
def test_braking_speed_stops_exactly_at_the_distance(steps: float) -> None:
    speed = float(braking_speed(np.array([steps]))[0])
    covered = 0.0
    while speed > 0.0:
        covered += speed
        speed -= 1.0
    assert covered == pytest.approx(steps, rel=1e-9, abs=1e-9)


GOALS = st.tuples(*[st.floats(-1.5, 1.5)] * 3).filter(lambda g: max(map(abs, g)) > 1e-3)


@given(GOALS)
def test_a_fixed_goal_is_reached_straight_and_without_overshoot(
    goal: tuple[float, float, float],
) -> None:
    target = np.array(goal)
    path = run(np.zeros(3), target, 400)
    velocity = np.diff(path, axis=0) / DT
    change = np.diff(velocity, axis=0, prepend=np.zeros((1, 3))) / DT
    assert (np.abs(velocity) <= FAST + 1e-9).all()
    assert (np.abs(change) <= ACCELERATION + 1e-6).all()
    np.testing.assert_allclose(path[-1], target, atol=1e-12)
    np.testing.assert_allclose(path[-1], path[-2], atol=1e-12)
    progress = path @ target / (target @ target)
    assert (np.diff(progress) >= -1e-12).all() and progress.max() <= 1 + 1e-9
    np.testing.assert_allclose(path, np.outer(progress, target), atol=1e-9)


def test_it_takes_the_shortest_time_that_the_limits_allow() -> None:
    # 0.8 rad at 10 rad/s^2 and 2 rad/s: 20 ticks up to speed (0.21 rad), 19 down (0.19 rad), and
    # 20 more at 0.02 rad each.
    path = run(np.zeros(3), np.array([0.8, 0.0, 0.0]), 100)
    arrived = int(np.argmax(np.abs(path[:, 0] - 0.8) < 1e-9))
    assert arrived == 59


def test_a_moving_reference_is_trailed_by_the_stopping_distance() -> None:
    rate = np.array([0.9, -0.3, 0.6])
    q, velocity, reference = np.zeros(3), np.zeros(3), np.zeros(3)
    for _ in range(150):
        reference = reference + rate * DT
        velocity = chase(reference - q, velocity, DT, ACCELERATION, -FAST, FAST)
        q = q + velocity * DT
    np.testing.assert_allclose(velocity, rate, atol=1e-6)
    lag = reference - q
    np.testing.assert_allclose(lag / rate, lag[0] / rate[0], rtol=1e-6)  # on its line
    assert lag[0] == pytest.approx(0.9**2 / (2 * 10.0), abs=0.9 * DT)
    # The reference ends here: the arm goes to it and no further.
    beyond = q
    for _ in range(60):
        velocity = chase(reference - q, velocity, DT, ACCELERATION, -FAST, FAST)
        q = q + velocity * DT
        beyond = np.maximum(beyond * np.sign(rate), q * np.sign(rate)) * np.sign(rate)
    np.testing.assert_allclose(q, reference, atol=1e-12)
    assert ((beyond - reference) * np.sign(rate) <= 1e-9).all()


@given(GOALS, st.tuples(*[st.floats(0, 1)] * 3))
def test_joints_that_can_still_stop_never_overshoot(
    goal: tuple[float, float, float], shares: tuple[float, float, float]
) -> None:
    # Each joint heads for its goal at a speed of its own, so they are not on one line.
    error = np.array(goal)
    stoppable = braking_speed(np.abs(error) / (ACCELERATION * DT * DT)) * ACCELERATION * DT
    velocity = np.minimum(np.array(shares) * stoppable, FAST) * np.sign(error)
    q = np.zeros(3)
    for _ in range(400):
        velocity = chase(error - q, velocity, DT, ACCELERATION, -FAST, FAST)
        q = q + velocity * DT
        assert ((q - error) * np.sign(error) <= 1e-9).all()
    np.testing.assert_allclose(q, error, atol=1e-9)


def test_a_joint_that_may_not_move_does_not_hold_the_others() -> None:
    upper = np.array([2.0, 0.0, 2.0])
    velocity = chase(np.array([0.5, 0.2, 0.3]), np.zeros(3), DT, ACCELERATION, -FAST, upper)
    assert velocity[1] == 0.0
    assert velocity[0] > 0.0 and velocity[2] > 0.0
    # It stays, too, when only the others' braking asks for a common rate.
    moving = np.array([1.0, 0.0, -1.0])
    velocity = chase(np.array([-0.5, 0.2, 0.3]), moving, DT, ACCELERATION, -FAST, upper)
    assert velocity[1] == 0.0


@given(
    st.tuples(*[st.floats(-1, 1)] * 3),
    st.tuples(*[st.floats(-2, 2)] * 3),
    st.tuples(*[st.floats(0, 2)] * 3),
)
def test_no_change_of_velocity_exceeds_the_acceleration(
    error: tuple[float, ...], velocity: tuple[float, ...], limit: tuple[float, ...]
) -> None:
    before = np.array(velocity)
    upper = np.array(limit)
    after = chase(np.array(error), before, DT, ACCELERATION, -upper, upper)
    assert (np.abs(after - before) <= ACCELERATION * DT + 1e-12).all()
