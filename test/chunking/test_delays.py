"""The delay estimate: cautious before it knows, forgetful of one slow chunk, rarely exceeded."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla_rl_nodes.chunking.delays import DelayEstimate


def test_before_anything_is_known_the_longest_is_predicted() -> None:
    assert DelayEstimate(6).predicted == 6


def test_the_first_delay_after_a_start_is_not_believed() -> None:
    estimate = DelayEstimate(9)
    estimate.observe(1)  # a cold engine is usually slow; here it happened to be quick
    assert estimate.predicted == 9
    estimate.observe(3)
    assert estimate.predicted == 3
    estimate.restart()
    estimate.observe(2)
    assert estimate.predicted == 9


def test_a_slow_cold_start_leaves_no_trace() -> None:
    estimate = DelayEstimate(9)
    for ticks in (40, 2, 2):
        estimate.observe(ticks)
    assert estimate.predicted == 2


def test_one_slow_chunk_is_forgotten_after_ten_more() -> None:
    estimate = DelayEstimate(9)
    for ticks in [2] * 30 + [8]:
        estimate.observe(ticks)
    predictions = []
    for _ in range(11):
        predictions.append(estimate.predicted)
        estimate.observe(2)
    assert predictions == [8] * 10 + [2]


def test_one_delay_beyond_the_longest_is_not_expected_again_but_a_second_is() -> None:
    estimate = DelayEstimate(6)
    for ticks in [2] * 30 + [9]:
        estimate.observe(ticks)
    assert estimate.predicted == 2
    for ticks in [2] * 5 + [8]:
        estimate.observe(ticks)
    assert estimate.predicted == 6
    for ticks in [2] * 200 + [9] + [2] * 11 + [9]:  # far apart, each is a single one again
        estimate.observe(ticks)
    assert estimate.predicted == 2


def test_what_is_slow_twice_in_200_is_expected_again() -> None:
    estimate = DelayEstimate(9)
    for ticks in [2] * 30 + [7] + [2] * 30 + [5] + [2] * 30:
        estimate.observe(ticks)
    assert estimate.predicted == 5


@given(st.lists(st.integers(0, 50), min_size=2), st.integers(0, 20))
def test_it_is_never_above_the_longest_nor_below_the_last_delay(
    delays: list[int], longest: int
) -> None:
    estimate = DelayEstimate(longest)
    for ticks in delays:
        estimate.observe(ticks)
    assert estimate.predicted <= longest
    if delays[-1] <= longest:
        assert estimate.predicted >= delays[-1]


@pytest.mark.parametrize("seed", range(5))
def test_jitter_exceeds_the_prediction_in_at_most_one_chunk_of_a_hundred(seed: int) -> None:
    rng = np.random.default_rng(seed)
    delays = np.ceil(rng.lognormal(np.log(3.0), 0.25, 20_000)).astype(int)
    assert len(np.unique(delays)) > 5
    estimate, missed = DelayEstimate(30), 0
    for ticks in delays:
        missed += int(ticks) > estimate.predicted
        estimate.observe(int(ticks))
    assert missed / len(delays) <= 0.01
