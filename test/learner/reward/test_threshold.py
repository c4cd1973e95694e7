"""Detections by hand, and the rule that chooses a threshold."""

from __future__ import annotations

import numpy as np
import pytest

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.learner.reward.metrics import most_events
from vla_rl_nodes.learner.reward.recipe import ClassifierRecipe, load_reward_recipe
from vla_rl_nodes.learner.reward.threshold import (
    Judged,
    choose_threshold,
    detections,
    first_detection,
    rule_of,
)

pytestmark = pytest.mark.learner
HZ = 20


@pytest.fixture(scope="module")
def recipe() -> ClassifierRecipe:
    found = load_reward_recipe("success_classifier", "success_classifier")
    assert isinstance(found, ClassifierRecipe)
    return found.model_copy(update={"consecutive": 2})


def test_so_many_in_a_row() -> None:
    seen = np.array([0.9, 0.1, 0.9, 0.9, 0.9])
    assert first_detection(seen, 0.5, 1) == 0
    assert first_detection(seen, 0.5, 2) == 3
    assert first_detection(seen, 0.9, 3) == 4  # at the threshold is a positive
    assert first_detection(seen, 0.95, 1) == 5 == first_detection(seen, 0.5, 4)


def test_counts_by_hand() -> None:
    rises = np.array([0.1, 0.1, 0.9, 0.9, 0.9])
    episodes = [
        Judged(rises, reached=3, success=True),  # claimed at 3: right, after 3 ticks
        Judged(rises, reached=4, success=True),  # claimed at 3: too early
        Judged(rises, reached=5, success=False),  # false after 3 ticks
        Judged(np.full(5, 0.1), reached=3, success=True),  # never: missed
        Judged(np.full(5, 0.1), reached=5, success=False),  # rightly never, 5 ticks
    ]
    counted = detections(episodes, 0.5, 2, HZ)
    assert (counted.false, counted.missed, counted.successes) == (2, 1, 2)
    assert counted.hours == pytest.approx((3 + 3 + 3 + 3 + 5) / HZ / 3600)
    assert counted.per_hour == pytest.approx(2 / counted.hours)
    assert counted.most_per_hour == pytest.approx(most_events(2) / counted.hours)


def falling(top: float) -> Judged:
    """A failure that looks like a success up to a probability."""
    return Judged(np.array([0.0, top, top, 0.0]), reached=4, success=False)


def reaching(top: float) -> Judged:
    return Judged(np.array([0.0, top, top, top]), reached=1, success=True)


def test_it_lies_between_the_failures_and_the_successes(recipe: ClassifierRecipe) -> None:
    """Seconds cannot show 20 an hour: then it is the fewest, which is none."""
    episodes = [falling(0.3)] * 6 + [reaching(0.9)] * 6
    chosen = choose_threshold(episodes, recipe, HZ)
    # Half-way in log-odds: of -0.85 and 2.2 that is 0.66.
    assert chosen == pytest.approx(0.66, abs=0.02)
    assert detections(episodes, chosen, 2, HZ).false == 0
    assert 0.8 < choose_threshold([*episodes, falling(0.8)], recipe, HZ) < 0.9


def test_a_failure_that_looks_like_success_is_borne(recipe: ClassifierRecipe) -> None:
    """It must not drive the threshold up to where most successes are missed."""
    episodes = [falling(0.3)] * 6 + [falling(0.99)] + [reaching(0.9)] * 6
    chosen = choose_threshold(episodes, recipe, HZ)
    assert chosen == pytest.approx(0.66, abs=0.02)
    assert detections(episodes, chosen, 2, HZ).false == 1


def test_where_hours_show_the_bound_the_lowest_counts(recipe: ClassifierRecipe) -> None:
    quiet = Judged(np.zeros(3600), reached=3600, success=False)  # an hour at 1 Hz
    episodes = [quiet] * 10 + [falling(0.6)] * 3 + [reaching(0.9)] * 6
    # Three in ten hours are allowed, so that the middle is that of 0.001 and 0.9.
    assert choose_threshold(episodes, recipe, 1) == pytest.approx(0.086, abs=0.01)
    strict = recipe.model_copy(update={"most_false_per_hour": 0.5})
    assert 0.6 < choose_threshold(episodes, strict, 1) < 0.9


def test_some_successes_may_be_missed(recipe: ClassifierRecipe) -> None:
    episodes = [falling(0.6)] * 5 + [reaching(0.9)] * 9 + [reaching(0.2)]
    assert choose_threshold(episodes, recipe, HZ) > 0.6
    every = recipe.model_copy(update={"most_missed": 0.0})
    assert choose_threshold(episodes, every, HZ) < 0.2


def test_a_success_goes_on_as_it_ended(recipe: ClassifierRecipe) -> None:
    """What was recorded of it is too short for ten in a row; the failure is so long."""
    failure = Judged(np.full(12, 0.6), reached=12, success=False)
    ten = recipe.model_copy(update={"consecutive": 10})
    assert 0.6 < choose_threshold([failure, *[reaching(0.9)] * 9], ten, HZ) < 0.9
    fades = Judged(np.array([0.0, 0.9, 0.9, 0.0]), reached=1, success=True)
    with pytest.raises(InputError, match="misses over"):
        choose_threshold([failure, fades], ten, HZ)


def test_successes_that_nothing_shows_are_refused(recipe: ClassifierRecipe) -> None:
    with pytest.raises(InputError, match=r"threshold: misses over 0\.4 of 4 successes"):
        choose_threshold([falling(0.9), *[reaching(0.0)] * 4], recipe, HZ)
    with pytest.raises(InputError, match="of 0 successes"):
        choose_threshold([falling(0.9)], recipe, HZ)


def test_the_rule_fits_the_manifest(recipe: ClassifierRecipe) -> None:
    assert len(rule_of(recipe)) <= 200 and "2 in a row" in rule_of(recipe)
