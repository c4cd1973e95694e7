"""The cosine transform of FAST: orthonormal, as defined, and its rounding bounded."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from vla_rl_nodes.remote import fast

CHUNKS = hnp.arrays(
    np.float64,
    st.tuples(st.integers(1, 50), st.integers(1, 7)),
    elements=st.floats(-1.0, 1.0),
)


@pytest.mark.parametrize("steps", [1, 2, 7, 50])
def test_transform_keeps_lengths(steps: int) -> None:
    matrix = fast.cosines(steps)
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(steps), atol=1e-12)


def test_transform_is_the_definition() -> None:
    """DCT-II: sum over t of x_t cos(pi (2t + 1) k / 2n), times sqrt(1/n) or sqrt(2/n)."""
    x, n = [0.5, -1.0, 0.25, 2.0], 4
    expected = [
        math.sqrt((1 if k == 0 else 2) / n)
        * sum(x[t] * math.cos(math.pi * (2 * t + 1) * k / (2 * n)) for t in range(n))
        for k in range(n)
    ]
    np.testing.assert_allclose(fast.cosines(n) @ np.array(x), expected, atol=1e-14)


@given(CHUNKS, st.sampled_from([1.0, 10.0, 100.0]))
def test_round_trip_is_within_its_bound(chunk: np.ndarray, scale: float) -> None:  # type: ignore[type-arg]
    """Half a unit on each of n orthonormal coefficients moves no number by more than
    sqrt(n) / (2 scale), and a column's length by no more either."""
    error = fast.decode(fast.encode(chunk, scale), scale) - chunk
    bound = math.sqrt(len(chunk)) / (2.0 * scale) * (1 + 1e-9)
    assert np.linalg.norm(error, axis=0).max() <= bound
    assert np.abs(error).max() <= bound


def test_the_bound_is_reached() -> None:
    """Coefficients that all stand half a unit off put the whole error into one column."""
    chunk = fast.decode(np.zeros((9, 1), np.int64), 1.0) + fast.cosines(9).T @ np.full(
        (9, 1), 0.49
    )
    error = fast.decode(fast.encode(chunk, 1.0), 1.0) - chunk
    assert np.linalg.norm(error) == pytest.approx(0.49 * 3.0, abs=1e-12)


def test_a_smooth_chunk_needs_few_coefficients() -> None:
    time = np.linspace(0.0, 1.0, 50)[:, None]
    coefficients = fast.encode(np.hstack([time, np.full_like(time, 0.3)]), 10.0)
    assert np.count_nonzero(coefficients) < 12
