"""The figures of bench rtc on traces whose figures are known by hand."""

from __future__ import annotations

import numpy as np
import pytest

from vla_rl_nodes.bench.rtc.measure import bends, measure, wilson
from vla_rl_nodes.bench.rtc.rollout import HELD, Trace


def trace(actions: list[float], ids: list[int], success: bool = True) -> Trace:
    return Trace(
        success, len(actions), np.array(actions)[:, None], np.array(ids), 2 * len(set(ids)),
        len(set(ids)),
    )  # fmt: skip


def test_the_wilson_interval_of_a_textbook_example() -> None:
    low, high = wilson(81, 263)
    assert low == pytest.approx(0.2553, abs=2e-4) and high == pytest.approx(0.3662, abs=2e-4)
    assert wilson(10, 10)[1] == pytest.approx(1.0) and wilson(0, 10)[0] == 0.0


def test_bends_are_told_apart_by_the_chunks_they_touch() -> None:
    found = bends(trace([0, 1, 2, 3, 9, 9, 9], [0, 0, 0, 0, 1, 1, 1]))
    assert found.inside.tolist() == [0, 0, 0]
    assert found.seam.tolist() == [5, 6]


def test_standing_still_between_chunks_is_a_seam_but_waiting_is_not() -> None:
    found = bends(trace([2, 2, 2, 0, 0, 0, 0, 2, 2, 2], [0, 0, 0, *[HELD] * 4, 1, 1, 1]))
    assert found.inside.tolist() == [0, 0]
    assert sorted(found.seam.tolist()) == [2, 2, 2, 2]


def test_a_point_sums_its_episodes_up() -> None:
    point = measure(
        [
            trace([0, 1, 3, 6, 7, 8], [0, 0, 0, 1, 1, 1]),
            trace([0, 1, 3, 6, 7, 8], [0, 0, 0, 1, 1, 1], success=False),
        ],
        0.05,
    )
    assert point.episodes == 2 and point.successes == 1 and point.success == 0.5
    assert point.success_low < 0.5 < point.success_high
    assert point.seconds == pytest.approx(0.3)
    assert point.seam_bend_p95 == pytest.approx(np.percentile([1, 2, 1, 2], 95))
    assert point.inside_bend_p95 == pytest.approx(np.percentile([1, 0, 1, 0], 95))
    assert point.candidates_per_chunk == 2.0
