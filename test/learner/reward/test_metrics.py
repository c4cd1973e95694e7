"""Areas, bounds and orders, by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla_rl_nodes.learner.reward.metrics import (
    auc,
    auc_by_episode,
    most_events,
    ordering_accuracy,
)


def test_the_area_by_hand() -> None:
    scores = np.array([0.1, 0.4, 0.35, 0.8])
    positive = np.array([False, False, True, True])
    assert auc(scores, positive) == pytest.approx(3 / 4)
    assert auc(-scores, positive) == pytest.approx(1 / 4)
    # One of the two pairs of equal scores counts half.
    assert auc(np.array([0.5, 0.5, 0.9]), np.array([True, False, True])) == pytest.approx(0.75)
    assert math.isnan(auc(scores, np.zeros(4, dtype=bool)))


@given(st.lists(st.tuples(st.integers(0, 4), st.booleans(), st.integers(0, 3)), min_size=1))
def test_weights_are_repetitions(rows: list[tuple[int, bool, int]]) -> None:
    scores, positive, times = (np.array(column) for column in zip(*rows, strict=True))
    again = auc(scores.repeat(times), positive.repeat(times)) if times.any() else math.nan
    weighted = auc(scores, positive, times.astype(np.float64))
    assert weighted == pytest.approx(again, nan_ok=True)


def test_the_interval_is_over_episodes() -> None:
    """Copies of an episode's frames must not make it narrower; other episodes do."""
    rng = np.random.default_rng(0)
    episode = np.arange(40)
    positive = episode % 2 == 0
    scores = rng.normal(size=40) + positive
    once = auc_by_episode(scores, positive, episode, 1)
    often = auc_by_episode(scores.repeat(9), positive.repeat(9), episode.repeat(9), 1)
    assert (often.value, often.low, often.high) == pytest.approx((once.value, once.low, once.high))
    assert once.low < once.value < once.high and once.high - once.low > 0.1


@pytest.mark.parametrize(
    ("seen", "most"), [(0, 2.9957), (1, 4.7439), (2, 6.2958), (5, 10.5130), (20, 29.0620)]
)
def test_the_upper_bound_of_a_count(seen: int, most: float) -> None:
    """From tables of the exact Poisson interval."""
    assert most_events(seen) == pytest.approx(most, abs=2e-4)


def test_the_order_in_time_by_hand() -> None:
    assert ordering_accuracy(np.array([1.0, 2.0, 3.0])) == 1.0
    assert ordering_accuracy(np.array([1.0, 3.0, 2.0])) == pytest.approx(2 / 3)
    assert ordering_accuracy(np.array([1.0, 1.0])) == 0.5
