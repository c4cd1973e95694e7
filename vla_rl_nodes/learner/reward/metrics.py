"""How good a judge of episodes is: areas under curves, rates with bounds, order in time."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

CONFIDENCE = 0.95
BOOTSTRAPS = 1000


@dataclass(frozen=True)
class Interval:
    """A figure with its 95 % bootstrap interval."""

    value: float
    low: float
    high: float


def auc(scores: Array, positive: NDArray[np.bool_], weight: Array | None = None) -> float:
    """Probability that a positive scores above a negative, equal scores counting half.

    Args:
        scores: [N].
        positive: [N].
        weight: how often each row counts, [N]; once each where left out.

    Returns:
        NaN where there is no positive or no negative.
    """
    weight = np.ones(len(scores)) if weight is None else weight
    order = np.argsort(scores, kind="stable")
    ties = np.flatnonzero(np.diff(scores[order], prepend=-np.inf) > 0)
    above = np.add.reduceat((weight * positive)[order], ties)
    below = np.add.reduceat((weight * ~positive)[order], ties)
    pairs = above.sum() * below.sum()
    if not pairs:
        return math.nan
    lower = np.cumsum(below) - below
    return float((above * (lower + 0.5 * below)).sum() / pairs)


def auc_by_episode(
    scores: Array, positive: NDArray[np.bool_], episode: NDArray[np.int64], seed: int
) -> Interval:
    """The area with a bootstrap interval over episodes: frames of one episode are no new ones.

    Args:
        scores: [N].
        positive: [N].
        episode: index of each row's episode, [N].
        seed: of the draws.
    """
    rng = np.random.default_rng([seed, 0xB007])
    _, episode = np.unique(episode, return_inverse=True)
    count = int(episode.max()) + 1
    drawn = []
    for _ in range(BOOTSTRAPS):
        times = np.bincount(rng.integers(0, count, count), minlength=count).astype(np.float64)
        drawn.append(auc(scores, positive, times[episode]))
    tail = (1 - CONFIDENCE) / 2
    low, high = np.nanquantile(drawn, [tail, 1 - tail])
    return Interval(auc(scores, positive), float(low), float(high))


def most_events(seen: int) -> float:
    """Upper 95 % bound of a Poisson mean of which ``seen`` events were counted (one-sided).

    The mean at which so few events have a chance of 5 % (Garwood 1936).
    """
    low, high = 0.0, 10.0 + 3.0 * seen
    for _ in range(80):
        mean = 0.5 * (low + high)
        chance = sum(
            math.exp(k * math.log(mean) - mean - math.lgamma(k + 1)) for k in range(seen + 1)
        )
        low, high = (mean, high) if chance > 1 - CONFIDENCE else (low, mean)
    return high


def ordering_accuracy(values: Array) -> float:
    """Share of the pairs of frames whose later one has the greater value; equal ones count half.

    Args:
        values: of the frames of an episode, in order of time, [N], at least 2.
    """
    first, second = np.triu_indices(len(values), k=1)
    gap = values[second] - values[first]
    return float(np.mean(np.where(gap == 0.0, 0.5, gap > 0.0)))
