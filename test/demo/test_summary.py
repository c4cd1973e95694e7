"""A run's figures against the same figures taken from all samples at once."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla_rl_nodes.demo.measure import EpisodeMeasure
from vla_rl_nodes.demo.summary import finite, seam_ratio, summarise, table, wilson


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [  # Newcombe 1998, table I, method 3, and two from its formula at the ends
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
        (20, 20, 0.8389, 1.0),
    ],
)
def test_wilson_intervals_are_the_published_ones(
    successes: int, trials: int, low: float, high: float
) -> None:
    assert wilson(successes, trials) == pytest.approx((low, high), abs=5e-5)


@given(st.integers(1, 10_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_intervals_hold_the_rate_and_mirror(counts: tuple[int, int]) -> None:
    successes, trials = counts
    low, high = wilson(successes, trials)
    assert 0.0 <= low <= successes / trials <= high <= 1.0
    assert wilson(trials - successes, trials) == pytest.approx((1.0 - high, 1.0 - low), abs=1e-12)


def test_no_trials_say_nothing() -> None:
    assert wilson(0, 0) == (0.0, 1.0)


def test_the_figures_of_a_run(
    measures: list[EpisodeMeasure], blackout: list[EpisodeMeasure]
) -> None:
    s = summarise(measures, 0, "fr3", blackout=blackout, unrecorded=1)
    every = [*measures, *blackout]
    assert (s["episodes"], s["successes"], s["success_rate"]) == (4, 3, 0.75)
    assert (s["success_rate_low"], s["success_rate_high"]) == pytest.approx(wilson(3, 4))
    assert (s["blackout_episodes"], s["blackout_success_rate"]) == (2, 0.0)
    assert s["blackout_success_rate_high"] == pytest.approx(wilson(0, 2)[1])
    assert s["outcomes"] == {"success": 3, "timeout": 1} and s["unrecorded_episodes"] == 1
    # 20, 22, 24, 26 ticks and twice 24 in the dark; one of them proposed nothing.
    assert s["ticks"] == s["ticks_expected"] == 140
    assert s["ticks_kept"] == pytest.approx(139 / 140)
    late = np.concatenate([m.ticks.lateness_ms for m in every])
    assert s["tick_lateness_p99_ms"] == pytest.approx(np.percentile(late, 99))
    late = np.concatenate([m.filter.lateness_ms for m in every])
    assert s["filter_tick_lateness_p99_ms"] == pytest.approx(np.percentile(late, 99))
    times = np.concatenate([m.chunks.inference_ms for m in every])
    assert s["inference_p50_ms"] == pytest.approx(np.median(times))
    assert s["inference_max_ms"] == times.max()
    assert s["violations"] == measures[2].limits.counts
    assert s["limit_violations"] == len(measures[2].limits.violations) > 0
    assert s["filter_reasons"] == {"action_bound": 2}
    assert s["parity_matched"] == s["parity_ticks"] == 140
    assert s["bags"] == [m.bag for m in every]
    assert [row["blackout"] for row in s["rows"]] == [False] * 4 + [True] * 2
    assert [row["seed"] for row in s["rows"]] == [0, 1, 2, 3, 0, 1]
    assert s["delay_max"] == 1.0 and s["prefix_error"] == 0.0
    assert json.loads(json.dumps(s, allow_nan=False)) == s


def test_seams_are_compared_over_all_axes(measures: list[EpisodeMeasure]) -> None:
    seam = [np.sqrt((row**2).sum()) for m in measures for row in m.chunks.seam_step]
    inner = [np.sqrt((row**2).sum()) for m in measures for row in m.chunks.inner_step]
    expected = np.percentile(seam, 95) / np.percentile(inner, 95)
    assert seam_ratio(measures, "step") == pytest.approx(expected)


def test_without_a_control_group_there_are_no_figures_of_one(
    measures: list[EpisodeMeasure],
) -> None:
    s = summarise(measures, 0, "fr3")
    assert not any(key.startswith("blackout") for key in s)


def test_a_run_of_which_nothing_was_recorded() -> None:
    s = summarise([], 5, "fr3", unrecorded=2)
    assert s["success_rate"] is None and s["episodes"] == 0 and s["unrecorded_episodes"] == 2
    assert s["ticks_kept"] is None and s["seam_step_ratio"] is None and s["limit_violations"] == 0
    json.dumps(s, allow_nan=False)


def test_numbers_that_json_cannot_hold_become_none() -> None:
    given_ = {"a": float("inf"), "b": [1.5, float("nan")], "c": ("x", {"d": -float("inf")})}
    assert finite(given_) == {"a": None, "b": [1.5, None], "c": ["x", {"d": None}]}


def test_the_table_has_a_heading_and_a_row_for_each_episode(
    measures: list[EpisodeMeasure],
) -> None:
    rows = table(measures)
    assert len(rows) == 5 and {len(row) for row in rows} == {len(rows[0])}
    assert all(isinstance(cell, str) for row in rows for cell in row)
    third = dict(zip(rows[0], rows[3], strict=True))
    assert third["outcome"] == "timeout" and third["ticks"] == "23/24"
    assert third["violations"] == str(len(measures[2].limits.violations))
