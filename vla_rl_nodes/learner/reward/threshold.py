"""Which probability counts as success: detections, what they cost, and the rule that chooses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.learner.reward.metrics import most_events
from vla_rl_nodes.learner.reward.recipe import ClassifierRecipe

# Odds of 1 in a thousand to a thousand to one, in even steps of their logarithm.
_LOGITS = np.linspace(-np.log(1000.0), np.log(1000.0), 201)


@dataclass(frozen=True)
class Judged:
    """An episode with what a classifier says of it.

    Attributes:
        probability: at each observation, [N].
        reached: the first observation at which success may be claimed; N where it never may.
        success: whether it succeeded.
    """

    probability: NDArray[np.float64]
    reached: int
    success: bool


@dataclass(frozen=True)
class Detections:
    """What came of a threshold over a number of episodes.

    Attributes:
        false: episodes in which success was claimed before it was reached.
        hours: of robot time during which a claim would have been false.
        missed: successes that were never claimed.
        successes: that could have been claimed rightly: a false claim came in no one's way.
    """

    false: int
    hours: float
    missed: int
    successes: int

    @property
    def per_hour(self) -> float:
        """False successes per hour."""
        return self.false / self.hours

    @property
    def most_per_hour(self) -> float:
        """Their upper 95 % bound."""
        return most_events(self.false) / self.hours


def first_detection(probability: NDArray[np.float64], threshold: float, consecutive: int) -> int:
    """The observation at which so many positives in a row are there; N where they never are."""
    count = np.concatenate([[0], np.cumsum(probability >= threshold)])
    if len(probability) < consecutive:
        return len(probability)
    in_a_row = count[consecutive:] - count[:-consecutive] == consecutive
    return int(np.argmax(in_a_row)) + consecutive - 1 if in_a_row.any() else len(probability)


def detections(
    episodes: Sequence[Judged], threshold: float, consecutive: int, hz: int
) -> Detections:
    """Counts over episodes, each of which a claim would end."""
    false = ticks = missed = successes = 0
    for episode in episodes:
        at = first_detection(episode.probability, threshold, consecutive)
        ticks += min(at, episode.reached)
        if at < episode.reached and at < len(episode.probability):
            false += 1
        elif episode.success:
            successes += 1
            missed += at >= len(episode.probability)
    return Detections(false, max(ticks, 1) / hz / 3600.0, missed, successes)


def choose_threshold(episodes: Sequence[Judged], recipe: ClassifierRecipe, hz: int) -> float:
    """The threshold by :func:`rule_of`, from episodes that the judging model did not learn.

    Few hours cannot show a low rate, and a failure that looks like a success for a moment has no
    threshold of its own: where the bound is out of reach the fewest false successes count. A
    recorded success ends when the operator or the predicate has seen enough; on the robot it goes
    on until it is claimed, and so it does here, as it looked at its end.

    Raises:
        InputError: every threshold misses too many successes.
    """
    going_on = [_going_on(episode, recipe.consecutive) for episode in episodes]
    tried = [detections(going_on, _chance(x), recipe.consecutive, hz) for x in _LOGITS]
    successes = sum(episode.success for episode in episodes)
    most = recipe.most_missed * successes
    kept = [index for index, counted in enumerate(tried) if counted.missed <= most]
    if not kept or not successes:
        raise InputError(
            "threshold",
            f"misses over {most:g} of {successes} successes wherever it lies",
            "label more episodes, or look at those that are hard to tell",
        )
    rare = [i for i in kept if tried[i].most_per_hour <= recipe.most_false_per_hour]
    fewest = min(tried[index].false for index in kept)
    good = rare or [index for index in kept if tried[index].false == fewest]
    lowest = good[0]
    alike = [index for index in good if tried[index].missed <= tried[lowest].missed]
    return round(_chance((_LOGITS[lowest] + _LOGITS[alike[-1]]) / 2), 6)


def rule_of(recipe: ClassifierRecipe) -> str:
    """The rule in words, for the manifest."""
    return (
        f"out of fold, {recipe.consecutive} in a row, successes going on as they ended, missing"
        f" at most {recipe.most_missed:.0%}: at most {recipe.most_false_per_hour:g} false/h by the"
        " 95% bound, else the fewest; mid log-odds of the range missing no more"
    )


def _going_on(episode: Judged, looks: int) -> Judged:
    if not episode.success:
        return episode
    return replace(episode, probability=np.pad(episode.probability, (0, looks), mode="edge"))


def _chance(logit: float) -> float:
    return float(1 / (1 + np.exp(-logit)))
