"""The figures of pairs of episodes that are written down here."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from vla_rl_nodes.bench.people.retries_figures import Pair, retries_bars, retries_figures
from vla_rl_nodes.bench.people.retries_loop import Told, Trial

GOOD = Trial(1, ("good",), (), "success", "predicate", 3.5, (), (), 0)
STALL = Told("beside", 1, 60, "retry", "behind", 1.25)
FAILS = Trial(2, ("beside",), (STALL,), "timeout", "time limit", 12.0, (), (), 0)
RECOVERED = Trial(
    2, ("beside", "good"), (STALL,), "success", "predicate", 8.0, (1.5,), (), 0
)  # fmt: skip
FALSE = replace(GOOD, told=(replace(STALL, strategy="good"),))


def figures(*pairs: Pair) -> dict[str, Any]:
    return retries_figures(pairs, (6.0, 12.0))


def test_what_is_recovered_is_a_gain_and_counts_where_it_began() -> None:
    found = figures(*[Pair(GOOD, GOOD)] * 70, *[Pair(FAILS, RECOVERED)] * 30)
    assert (found["success_without"], found["success_with"]) == (0.7, 1.0)
    assert found["gain_points"] == pytest.approx(30.0)
    low, high = found["gain_points_95"]
    assert 20.0 < low < 30.0 < high < 40.0
    assert (found["won"], found["lost"]) == (30, 0)
    assert found["success_within_s"] == {"6": [0.7, 0.7], "12": [0.7, 1.0]}
    assert (found["strategy_failures"], found["retries"], found["helps_asked"]) == (30, 30, 0)
    assert (found["recovered"], found["recovered_share"]) == (30, 1.0)
    assert found["retries_per_failure"] == 1.0
    assert (found["retries_with_good"], found["of_these_succeeded"]) == (30, 30)
    assert found["kinds"]["beside"] == {
        "episodes": 30, "success_without": 0, "told": 30, "success_with": 30,
        "told_after_s_p50": 1.25, "told_after_s_max": 1.25,
    }  # fmt: skip
    assert found["kinds"]["over"]["episodes"] == 0
    assert found["kinds"]["over"]["told_after_s_p50"] is None
    assert all(retries_bars(found).values())


def test_a_stall_of_a_good_strategy_is_a_false_retry_even_if_it_succeeds_then() -> None:
    found = figures(*[Pair(GOOD, GOOD)] * 9, Pair(FALSE, replace(FALSE, seconds=9.0)))
    assert (found["false_retries"], found["false_retry_share"]) == (1, 0.1)
    assert found["false_retries_of_these"] == 1 and found["good_lost"] == 0
    assert found["retries_per_failure"] is None, "there was none"
    bars = retries_bars(found)
    assert not bars["false_retries"] and not bars["retries_gain"]


def test_a_good_one_that_is_lost_counts_against_retries() -> None:
    found = figures(Pair(FALSE, replace(FALSE, outcome="help")), Pair(GOOD, GOOD))
    assert found["gain_points"] == -50.0 and found["good_lost"] == 1
    assert found["outcomes_with"] == {"help": 1, "success": 1}


def test_a_good_one_that_is_told_after_a_retreat_is_no_false_retry_but_is_counted() -> None:
    later = Told("good", 2, 130, "help", "behind", 0.0)
    asks = replace(RECOVERED, told=(STALL, later), outcome="help")
    found = figures(Pair(FAILS, asks), Pair(GOOD, GOOD))
    assert (found["told_of_good_later"], found["false_retries"]) == (1, 0)
    assert (found["retries_with_good"], found["of_these_succeeded"]) == (1, 0)
    assert (found["helps_asked"], found["failures_told"]) == (1, 1)


def test_pairs_that_differ_before_anything_is_done_are_told() -> None:
    other = replace(RECOVERED, told=(replace(STALL, step=61),))
    assert not retries_bars(figures(Pair(FAILS, other)))["retries_paired"]
    passed = replace(RECOVERED, bypasses=1)
    assert not retries_bars(figures(Pair(FAILS, passed)))["retries_by_the_filter"]
