"""Chunks between two rates."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from vla_rl_nodes.remote import resample

RATES = st.integers(1, 60)
STEPS = hnp.arrays(np.float64, st.tuples(st.integers(1, 20), st.just(2)),
                   elements=st.floats(-1.0, 1.0))  # fmt: skip


def test_a_slow_step_is_shared_out_and_its_position_held() -> None:
    served = np.array([[0.4, 0.08], [-0.2, 0.0]])
    motions = resample.motions(served, 5, 20)
    np.testing.assert_allclose(motions[:, 0], [0.1] * 4 + [-0.05] * 4, atol=1e-15)
    held = resample.positions(served, 5, 20)
    assert held[:, 1].tolist() == [0.08] * 4 + [0.0] * 4


def test_fast_steps_are_added_up_and_the_last_position_counts() -> None:
    served = np.array([[0.1, 1.0], [0.2, 2.0], [0.4, 3.0], [0.8, 4.0], [1.6, 5.0]])
    np.testing.assert_allclose(resample.motions(served, 40, 20)[:, 0], [0.3, 1.2], atol=1e-12)
    assert resample.positions(served, 40, 20)[:, 1].tolist() == [2.0, 4.0]


def test_rates_without_a_whole_ratio() -> None:
    """Three steps at 15 Hz are four ticks at 20 Hz; each tick is 3/4 of a step."""
    served = np.array([[1.0, 1.0], [2.0, 2.0], [4.0, 3.0]])
    expected = [0.75, 0.25 + 1.0, 1.0 + 1.0, 3.0]
    np.testing.assert_allclose(resample.motions(served, 15, 20)[:, 0], expected, atol=1e-12)
    assert resample.positions(served, 15, 20)[:, 1].tolist() == [1.0, 2.0, 3.0, 3.0]


@given(STEPS, RATES, RATES)
def test_after_every_tick_as_much_is_done_as_the_server_meant(
    served: np.ndarray, rate: int, ours: int  # type: ignore[type-arg]
) -> None:  # fmt: skip
    motions = resample.motions(served, rate, ours)
    assert motions.shape == (resample.whole_ticks(len(served), rate, ours), 2)
    total = np.concatenate([np.zeros((1, 2)), np.cumsum(served, axis=0)])
    for tick, done in enumerate(np.cumsum(motions, axis=0), start=1):
        step, part = divmod(tick * rate, ours)
        beyond = served[step] * part / ours if part else np.zeros(2)
        np.testing.assert_allclose(done, total[step] + beyond, atol=1e-9)


@given(STEPS, RATES)
def test_an_equal_rate_changes_nothing(served: np.ndarray, rate: int) -> None:  # type: ignore[type-arg]
    np.testing.assert_allclose(resample.motions(served, rate, rate), served, atol=1e-12)
    np.testing.assert_array_equal(resample.positions(served, rate, rate), served)


@pytest.mark.parametrize(("steps", "rate", "ours", "ticks"), [(1, 50, 20, 0), (4, 5, 20, 16)])
def test_only_whole_ticks_are_given(steps: int, rate: int, ours: int, ticks: int) -> None:
    assert len(resample.motions(np.ones((steps, 1)), rate, ours)) == ticks
    assert len(resample.positions(np.ones((steps, 1)), rate, ours)) == ticks
