"""Waits grow, stay below their bound, and differ between robots."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from vla_rl_nodes.link.backoff import Backoff


@given(seed=st.integers(0, 10**6), longest=st.floats(0.01, 600))
def test_between_half_and_all_of_a_time_that_doubles(seed: int, longest: float) -> None:
    backoff = Backoff(0.25, longest, random.Random(seed))
    for round_ in range(3):
        upper = min(0.25, longest)
        for _ in range(12):
            assert upper / 2 <= backoff.failed() <= upper, round_
            upper = min(longest, 2 * upper)
        backoff.worked()


def test_two_robots_do_not_keep_step() -> None:
    one, other = (Backoff(1, 60, random.Random(seed)) for seed in (1, 2))
    assert [one.failed() for _ in range(5)] != [other.failed() for _ in range(5)]
