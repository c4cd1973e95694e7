"""The quadratic programme against scipy's."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import Bounds, LinearConstraint, minimize

from vla_rl_nodes.safety.targets.quadratic import least_squares


def problem(seed: int) -> tuple[np.ndarray, ...]:
    """matrix, wanted, low, high, jacobian, room; zero is always inside."""
    rng = np.random.default_rng(seed)
    joints, rows, limits = (int(rng.integers(2, 9)), int(rng.integers(6, 14)),
                            int(rng.integers(0, 12)))  # fmt: skip
    matrix = np.concatenate([rng.normal(size=(rows, joints)), 0.1 * np.eye(joints)])
    wanted = rng.normal(size=len(matrix))
    low, high = -rng.uniform(0.0, 0.5, joints), rng.uniform(0.0, 0.5, joints)
    jacobian = rng.normal(size=(limits, joints))
    room = rng.uniform(0.0, 0.4, limits)
    return matrix, wanted, low, high, jacobian, room


@pytest.mark.parametrize("seed", range(25))
def test_same_as_scipy(seed: int) -> None:
    matrix, wanted, low, high, jacobian, room = problem(seed)
    found = least_squares(matrix, wanted, low, high, jacobian, room)
    assert found is not None
    assert ((found >= low) & (found <= high)).all()
    assert (room + jacobian @ found >= -1e-6).all()
    limit = LinearConstraint(jacobian, -room)
    other = minimize(
        lambda x: float(np.sum((matrix @ x - wanted) ** 2)),
        np.zeros(len(low)),
        jac=lambda x: 2.0 * matrix.T @ (matrix @ x - wanted),
        hess=lambda x: 2.0 * matrix.T @ matrix,
        method="trust-constr",
        bounds=Bounds(low, high),
        constraints=[limit] if len(room) else [],
        options={"gtol": 1e-10, "xtol": 1e-12, "barrier_tol": 1e-12, "maxiter": 500},
    )
    np.testing.assert_allclose(found, other.x, atol=2e-5)


def test_free_answer_is_the_plain_least_squares() -> None:
    matrix, wanted, low, *_ = problem(3)
    wide = np.full(len(low), 1e3)
    found = least_squares(matrix, wanted, -wide, wide, np.empty((0, len(low))), np.empty(0))
    assert found is not None
    np.testing.assert_allclose(found, np.linalg.lstsq(matrix, wanted)[0], atol=1e-9)


def test_none_where_nothing_fits() -> None:
    one = np.ones(2)
    away = np.array([[1.0, 0.0], [-1.0, 0.0]])
    assert least_squares(np.eye(2), one, -one, one, away, np.array([-0.5, -0.5])) is None


def test_none_of_nan() -> None:
    one = np.ones(2)
    wanted = np.array([np.nan, 0.0])
    found = least_squares(np.eye(2), wanted, -one, one, np.empty((0, 2)), np.empty(0))
    assert found is None


def test_bounds_that_meet_hold_exactly() -> None:
    low = np.array([0.1, -0.2])
    found = least_squares(np.eye(2), np.ones(2), low, low, np.empty((0, 2)), np.empty(0))
    assert found is not None
    np.testing.assert_array_equal(found, low)
