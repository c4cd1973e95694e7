"""Strategies that fail: how often they are drawn, and that they do fail."""

from __future__ import annotations

from collections import Counter
from itertools import product

import pytest

from vla_rl_nodes.bench.people.retries_strategies import (
    FAILING,
    FAILING_SHARE,
    GOOD,
    ClosesAbove,
    StopsOver,
    Strategies,
    drawn,
)
from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.sim.actors import ExpertActor

CONTRACT = load_contract("franka_pick")


def test_three_of_ten_attempts_fail_each_kind_as_often_and_each_attempt_for_itself() -> None:
    names = {pair: drawn(*pair) for pair in product(range(4000), (1, 2))}
    counted = Counter(names.values())
    for kind in FAILING:
        assert counted[kind] / 8000 == pytest.approx(FAILING_SHARE / len(FAILING), abs=0.012)
    failed = [seed for seed in range(4000) if names[seed, 1] != GOOD]
    again = sum(names[seed, 2] != GOOD for seed in failed) / len(failed)
    assert again == pytest.approx(FAILING_SHARE, abs=0.04), "what failed is not avoided"
    assert names[7, 2] == drawn(7, 2)


def test_who_looks_through_the_cameras() -> None:
    good = ExpertActor(CONTRACT)
    strategies = Strategies(CONTRACT, "cube", good, True, lambda seed, attempt: FAILING[seed])
    for index, kind in enumerate(FAILING):
        choice = strategies.choice(index, 1)
        assert choice.name == kind and not choice.looks and choice.actor is not good
    works = Strategies(CONTRACT, "cube", good, True, lambda seed, attempt: GOOD)
    assert works.choice(0, 1) == (GOOD, good, True)


@pytest.mark.parametrize("actor", [ClosesAbove, StopsOver])
def test_a_seed_always_fails_at_the_same_height(
    actor: type[ClosesAbove] | type[StopsOver],
) -> None:
    def heights(seed: int) -> list[float]:
        made = actor(CONTRACT, "cube")
        made.start(seed)
        return [v for v in vars(made).values() if isinstance(v, float)] + [
            value for v in vars(made).values() if isinstance(v, dict) for value in v.values()
        ]

    assert heights(3) == heights(3) != heights(4)
    assert all(0.05 <= height <= 0.08 for seed in range(9) for height in heights(seed))
