"""Episodes as arrays: their shapes, their makers, and how good those are."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from vla_rl_nodes.sim.bed.arm import ArmBed
from vla_rl_nodes.sim.bed.episode import MAKERS, demonstrate, mixture, run, success


@pytest.fixture(scope="module")
def bed() -> ArmBed:
    return ArmBed("reach")


@pytest.mark.parametrize("maker", list(MAKERS))
def test_arrays_fit_and_are_repeatable(bed: ArmBed, maker: str) -> None:
    first, again = demonstrate(bed, 5, maker), demonstrate(bed, 5, maker)
    ticks = len(first)
    assert first.seen.shape == (ticks + 1, len(bed.sees))
    assert first.actions.shape == (ticks, 3) and np.abs(first.actions).max() <= 1.0
    assert first.rewards.shape == first.intervened.shape == (ticks,)
    assert first.rewards.sum() == float(first.terminated) and not first.rewards[:-1].any()
    assert first.maker == maker and not first.intervened.any()
    assert first.seen.tobytes() == again.seen.tobytes()
    assert first.actions.tobytes() == again.actions.tobytes()


def test_experts_succeed_and_failing_ones_do_not(bed: ArmBed) -> None:
    good = [demonstrate(bed, seed, "expert") for seed in range(10)]
    bad = [demonstrate(bed, seed, "failing") for seed in range(10)]
    assert success(good) == 1.0 and success(bad) < 0.3


def test_a_mixture_has_the_share_that_was_asked_for(bed: ArmBed) -> None:
    found = Counter(episode.maker for episode in mixture(bed, 10, 0.3, 100))
    assert found == {"expert": 3, "noisy": 4, "failing": 3}


def test_a_persons_action_goes_first_and_is_marked(bed: ArmBed) -> None:
    turn = iter([None, np.array([0.5, 0.0, 0.0])] * 100)
    episode = run(bed, 3, lambda seen: -np.ones(3), "policy", lambda: next(turn))
    assert episode.intervened[:4].tolist() == [False, True, False, True]
    np.testing.assert_array_equal(episode.actions[1], [0.5, 0.0, 0.0])
    np.testing.assert_array_equal(episode.actions[0], [-1.0, -1.0, -1.0])
