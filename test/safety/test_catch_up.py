"""The way back onto the reference: exact, within limits, without overshoot."""

from __future__ import annotations

import numpy as np
import pytest
import ruckig
from hypothesis import given, settings
from hypothesis import strategies as st

from vla_rl_nodes.safety.catch_up import HORIZONS, CatchUp, way_back
from vla_rl_nodes.safety.stop import Stopping

DT = 0.01
V, A, J = np.array([1.5, 1.0]), np.array([10.0, 7.0]), np.array([1000.0, 700.0])
ZERO = np.zeros(2)


def step(error: np.ndarray, jerk: np.ndarray) -> np.ndarray:
    q, v, a = error
    return np.stack([
        q + v * DT + a * DT**2 / 2 + jerk * DT**3 / 6, v + a * DT + jerk * DT**2 / 2, a + jerk * DT
    ])  # fmt: skip


@pytest.mark.parametrize("ticks", HORIZONS[::6])
def test_every_horizon_takes_any_error_to_zero(ticks: int) -> None:
    error = np.array([[0.3, -0.1], [0.5, 0.2], [2.0, -5.0]])
    way = way_back(ticks, DT)
    at = error
    for k in range(ticks):
        at = step(at, way[0, k] @ error)
        np.testing.assert_allclose(at[2], way[1, k] @ error, atol=1e-7)
    np.testing.assert_allclose(at[0], 0.0, atol=1e-11)
    np.testing.assert_allclose(at[1], 0.0, atol=1e-10)
    np.testing.assert_allclose(at[2], 0.0, atol=1e-8)


def arrive(error: np.ndarray, v: np.ndarray, ticks: int = 400) -> list[np.ndarray]:
    """The errors on the way back to a steady reference, with the motion's velocity bounded as
    the motion bounds it."""
    stopping, catch_up, errors = Stopping(A, J, DT), CatchUp(DT, V, A, J), [error]
    steady = np.stack([v, ZERO])
    for _ in range(ticks):
        wanted = catch_up.acceleration(error[:2], error[2], steady, ZERO)
        lower, upper = stopping.room(error[1] + v, error[2], -V, V)
        a = np.maximum(np.minimum(wanted, upper), lower)
        assert stopping.reaches(error[2], a)
        error = step(error, (a - error[2]) / DT)
        errors.append(error)
        if np.abs(error).max() < 1e-9:
            return errors
    raise AssertionError("never arrived")


@given(distance=st.floats(-2.0, 2.0), other=st.floats(-2.0, 2.0))
@settings(max_examples=40, deadline=None)
def test_a_distance_is_caught_up_with_no_overshoot_to_speak_of(
    distance: float, other: float
) -> None:
    error = np.stack([np.array([distance, other]), ZERO, ZERO])
    for at in arrive(error, ZERO):
        assert (at[0] * np.sign(error[0]) >= -2e-3).all()  # rad
        assert (np.abs(at[1]) <= V * (1 + 1e-9)).all()


def test_it_takes_little_longer_than_the_shortest_way() -> None:
    problem = ruckig.InputParameter(2)
    problem.max_velocity, problem.max_acceleration = V.tolist(), A.tolist()
    problem.max_jerk = J.tolist()
    rng = np.random.default_rng(0)
    for _ in range(40):
        start = np.stack([rng.uniform(-1, 1, 2), rng.uniform(-0.9, 0.9, 2) * V, ZERO])
        problem.current_position, problem.current_velocity = start[0].tolist(), start[1].tolist()
        way = ruckig.Trajectory(2)
        ruckig.Ruckig(2).calculate(problem, way)
        assert (len(arrive(start, ZERO)) - 1) * DT <= way.duration + 0.12


def test_a_reference_that_runs_away_is_caught_up_with_soon() -> None:
    error = np.array([[-0.05, 0.0], [-1.2, 0.0], [0.0, 0.0]])
    assert len(arrive(error, np.array([1.2, 0.0]))) < 100


def test_braking_begins_at_once_when_it_is_late_already() -> None:
    # Too fast to stop at the reference: the way past it and back is the shortest one.
    error = np.array([[0.03, 0.0], [-1.4, 0.0], [-8.0, 0.0]])
    errors = arrive(error, ZERO)
    assert errors[5][2][0] == A[0]
    assert min(at[0][0] for at in errors) > -0.25


def test_a_joint_does_not_wait_for_another() -> None:
    catch_up, steady = CatchUp(DT, V, A, J), np.zeros((2, 2))
    for near in (1e-3, 0.4):
        alone = np.stack([np.array([near, 0.0]), ZERO])
        both = np.stack([np.array([near, 1.0]), ZERO])
        one = catch_up.acceleration(alone, ZERO, steady, ZERO)
        two = catch_up.acceleration(both, ZERO, steady, ZERO)
        assert one[0] == pytest.approx(two[0], abs=1e-12)
        assert one[1] == pytest.approx(0.0, abs=1e-12)


def test_the_exact_arrival_stays_on_a_reference_that_curves() -> None:
    """Once met, a reference with acceleration and jerk within limits is followed exactly."""
    catch_up = CatchUp(DT, V, A, J)
    reference = np.array([[0.2, 0.0], [0.5, 0.3], [3.0, -2.0]])
    motion = reference + np.array([[2e-4, 0.0], [0.0, 1e-3], [0.0, 0.0]])
    for k in range(60):
        jerk = np.array([15.0, -10.0]) * (1 if k < 30 else -1)
        wanted = catch_up.acceleration(motion[:2] - reference[:2], motion[2], reference[1:], jerk)
        motion = step(motion, (wanted - motion[2]) / DT)
        reference = step(reference, jerk)
    np.testing.assert_allclose(motion, reference, atol=1e-9)
