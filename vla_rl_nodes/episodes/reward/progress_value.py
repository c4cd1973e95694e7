"""How a pair critic's numbers become progress, and what that tells of an episode.

As the code of VLAC (2509.15937) has it.

The critic compares two pictures and says by how much the second is nearer to the goal, c in
-100..100. Progress v in 0..100 starts at 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

# From here on a step back is counted by what remained before it, and below by what was reached.
_HALF_WAY = 50.0
_LEAST_AFTER_A_FALL = 10.0
_LEAST_REMAINDER = 1.0


def next_value(value: float, critic: float) -> float:
    """Progress after one more comparison, 0..100.

    A step forward takes its share of what remains. A step back takes its share of what was
    reached where that was at most half, and else undoes the step forward that would have led
    from there to here, but never below 10: one bad look does not wipe out an episode.

    Args:
        value: progress before, 0..100.
        critic: c, -100..100.
    """
    if critic > 0.0:
        return value + (100.0 - value) * critic / 100.0
    if value <= _HALF_WAY:
        return value + value * critic / 100.0
    if critic <= -100.0:  # the limit of the line below
        return _LEAST_AFTER_A_FALL
    remainder = max(100.0 - value, _LEAST_REMAINDER)
    return max(_LEAST_AFTER_A_FALL, 100.0 - 100.0 * remainder / (100.0 + critic))


def values(critics: Sequence[float]) -> list[float]:
    """Progress before the first comparison, which is 0, and after each, [n + 1]."""
    found = [0.0]
    for critic in critics:
        found.append(next_value(found[-1], critic))
    return found


def value_order_correlation(progress: Sequence[float]) -> float:
    """VOC: Spearman's rank correlation of progress with time, -1..1; ties share their mean rank.

    0 where there are fewer than two values or all are equal: they say nothing of an order.
    """
    if len(progress) < 2:
        return 0.0
    ranks = _ranks(np.asarray(progress, dtype=np.float64))
    times = np.arange(len(ranks), dtype=np.float64)
    ranks, times = ranks - ranks.mean(), times - times.mean()
    scale = float(np.sqrt((ranks @ ranks) * (times @ times)))
    return float(ranks @ times) / scale if scale > 0.0 else 0.0


def negative_rate(critics: Sequence[float]) -> float:
    """NR: the share of comparisons that went back, 0..1; 0 where there is none."""
    return sum(critic < 0.0 for critic in critics) / len(critics) if critics else 0.0


def _ranks(numbers: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ranks from 0; equal numbers share the mean of theirs."""
    order = np.argsort(numbers, kind="stable")
    ordered = numbers[order]
    # Where each run of equal numbers begins, and the end of the last one.
    edges = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1], True])
    ranks = np.empty(len(numbers))
    for start, end in pairwise(edges):
        ranks[order[start:end]] = (start + end - 1) / 2.0
    return ranks
