"""VLAC's accumulation, order correlation and negative rate, to 1e-9."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from vla_rl_nodes.episodes.reward.progress_value import (
    negative_rate,
    next_value,
    value_order_correlation,
    values,
)

EXACT = 1e-9


@pytest.mark.parametrize(
    ("before", "critic", "after"),
    [
        # c > 0: v + (100 - v) c / 100
        (0.0, 20.0, 20.0), (20.0, 50.0, 60.0), (60.0, 25.0, 70.0), (99.0, 100.0, 100.0),
        (0.0, 0.5, 0.5), (37.5, 12.5, 45.3125),
        # c <= 0, v <= 50: v + v c / 100
        (0.0, -80.0, 0.0), (40.0, -25.0, 30.0), (50.0, -10.0, 45.0), (50.0, -100.0, 0.0),
        (12.5, 0.0, 12.5),
        # c <= 0, v > 50: max(10, 100 - 100 max(100 - v, 1) / (100 + c))
        (60.0, -20.0, 50.0), (80.0, -50.0, 60.0), (75.0, 0.0, 75.0), (51.0, -2.0, 50.0),
        (90.0, -60.0, 75.0), (60.0, -60.0, 10.0), (99.5, -50.0, 98.0), (100.0, 0.0, 99.0),
        (100.0, -90.0, 90.0), (70.0, -100.0, 10.0), (100.0, -100.0, 10.0),
    ],
)  # fmt: skip
def test_one_comparison(before: float, critic: float, after: float) -> None:
    assert next_value(before, critic) == pytest.approx(after, abs=EXACT)


def test_a_whole_episode() -> None:
    critics = [10.0, 20.0, -10.0, 50.0, 30.0, -20.0, 60.0, 100.0, -5.0]
    expected = [
        0.0, 10.0, 28.0, 25.2, 62.6, 73.82, 67.275, 86.91, 100.0,
        100.0 - 100.0 / 95.0,
    ]  # fmt: skip
    assert values(critics) == pytest.approx(expected, abs=EXACT)
    assert negative_rate(critics) == pytest.approx(3 / 9, abs=EXACT)


@given(st.lists(st.floats(-100.0, 100.0), max_size=80))
def test_progress_stays_a_percentage(critics: list[float]) -> None:
    assert all(-EXACT <= value <= 100.0 + EXACT for value in values(critics))


@given(st.floats(50.1, 99.0), st.floats(0.1, 60.0))
def test_above_half_a_step_back_undoes_the_step_forward(value: float, critic: float) -> None:
    back = next_value(value, -critic)
    if back > 10.0:  # from there, what remains times c / 100 leads here again
        assert 100.0 - (100.0 - back) * (100.0 - critic) / 100.0 == pytest.approx(value, abs=1e-6)


@pytest.mark.parametrize(
    ("progress", "voc"),
    [
        ([0.0, 10.0, 20.0, 30.0], 1.0), ([3.0, 2.0, 1.0], -1.0), ([0.0, 2.0, 1.0, 3.0], 0.8),
        ([0.0, 0.0, 1.0], 0.8660254037844387), ([1.0, 0.0, 1.0], 0.0), ([5.0, 5.0, 5.0], 0.0),
        ([5.0], 0.0), ([], 0.0),
    ],
)  # fmt: skip
def test_order_correlation(progress: list[float], voc: float) -> None:
    assert value_order_correlation(progress) == pytest.approx(voc, abs=EXACT)


@given(st.lists(st.integers(0, 8), min_size=2, max_size=40))
def test_it_is_spearmans(progress: list[int]) -> None:
    if len(set(progress)) > 1:
        expected = spearmanr(progress, np.arange(len(progress))).statistic
        assert value_order_correlation([float(p) for p in progress]) == pytest.approx(
            expected, abs=EXACT
        )


@pytest.mark.parametrize(
    ("critics", "rate"), [([], 0.0), ([0.0], 0.0), ([-1.0, 0.0, 1.0, -0.1], 0.5), ([-3.0], 1.0)]
)
def test_negative_rate(critics: list[float], rate: float) -> None:
    assert negative_rate(critics) == rate
