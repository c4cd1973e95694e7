"""The smoothed reference: exact cubics, no overshoot, one window behind."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vla_rl_nodes.safety.smoothing import Knot, Smoother

DT = 0.01


def run(window: int, references: np.ndarray) -> list[Knot]:
    smoother = Smoother(window, DT, references[0])
    return [smoother.advance(reference) for reference in references]


@pytest.mark.parametrize("window", [1, 2, 3, 7])
@given(seed=st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_knots_are_joined_by_cubics_and_do_not_overshoot(window: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    references = np.cumsum(rng.normal(size=(80, 2)) * 0.01, axis=0)
    knots = run(window, references)
    for before, after in itertools.pairwise(knots):
        v = before.v + (before.a + after.a) * DT / 2
        q = before.q + before.v * DT + (2 * before.a + after.a) * DT * DT / 6
        np.testing.assert_allclose(after.v, v, atol=1e-11)
        np.testing.assert_allclose(after.q, q, atol=1e-12)
    positions = np.array([knot.q for knot in knots])
    assert (positions <= references.max(axis=0) + 1e-12).all()
    assert (positions >= references.min(axis=0) - 1e-12).all()


def test_steady_motion_is_followed_one_window_behind() -> None:
    window, speed = 3, 0.7
    references = np.arange(60)[:, None] * DT * speed
    last = run(window, references)[-1]
    assert last.v[0] == pytest.approx(speed)
    assert last.a[0] == pytest.approx(0.0, abs=1e-9)
    assert references[-1, 0] - last.q[0] == pytest.approx(speed * window * DT)


def test_a_reference_that_stops_is_reached_exactly_and_without_drift() -> None:
    rng = np.random.default_rng(3)
    moving = np.cumsum(rng.normal(size=(50_000, 1)) * 1e-3, axis=0)
    still = np.vstack([moving, np.repeat(moving[-1:], 6, axis=0)])
    last = run(3, still)[-1]
    np.testing.assert_allclose(last.q, moving[-1], atol=1e-13)
    np.testing.assert_allclose(last.v, 0.0, atol=1e-10)
    np.testing.assert_allclose(last.a, 0.0, atol=1e-8)


def test_uniform_references_make_a_uniform_cubic_b_spline() -> None:
    window = 4
    points = np.array([0.0, 0.0, 0.0, 0.3, -0.2, 0.5, 0.5, 0.5, 0.5])
    references = [points[0]]
    for one, other in itertools.pairwise(points):
        references += [one + (other - one) * k / window for k in range(1, window + 1)]
    knots = run(window, np.array(references)[:, None])
    # At the end of a period the uniform cubic B-spline is (P0 + 4 P1 + P2) / 6.
    for index in range(2, len(points)):
        expected = (points[index - 2] + 4 * points[index - 1] + points[index]) / 6
        assert knots[index * window].q[0] == pytest.approx(expected, abs=1e-12)


def test_restart_forgets_the_motion() -> None:
    smoother = Smoother(3, DT, np.zeros(2))
    for k in range(10):
        smoother.advance(np.full(2, 0.1 * k))
    smoother.restart(np.array([1.0, 2.0]))
    knot = smoother.advance(np.array([1.0, 2.0]))
    np.testing.assert_allclose(knot.q, [1.0, 2.0], atol=1e-14)
    np.testing.assert_allclose(knot.v, 0.0, atol=1e-12)
