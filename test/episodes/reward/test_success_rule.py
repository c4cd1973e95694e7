"""Positives in a row."""

from __future__ import annotations

from itertools import groupby

from hypothesis import given
from hypothesis import strategies as st

from vla_rl_nodes.episodes.reward.success_rule import Consecutive

S = 1_000_000_000


def test_three_in_a_row_and_no_fewer() -> None:
    rule = Consecutive(3, 1.0)
    looks = [True, True, False, True, True, True, False]
    seen = [rule.observe(i * S // 20, positive) for i, positive in enumerate(looks)]
    assert seen == [False, False, False, False, False, True, True]  # it stays
    rule.reset()
    assert not rule.observe(10 * S, True)


def test_a_gap_starts_the_count_anew() -> None:
    rule = Consecutive(2, 0.3)
    assert not rule.observe(0, True)
    assert not rule.observe(300_000_001, True)
    assert rule.observe(600_000_001, True)  # exactly the gap is still in a row


def test_one_moment_counts_once() -> None:
    rule = Consecutive(2, 1.0)
    assert not any(rule.observe(5, True) for _ in range(5))
    assert not rule.observe(4, True)
    assert rule.observe(6, True)


@given(st.lists(st.booleans(), max_size=60), st.integers(1, 6))
def test_it_is_the_longest_run(looks: list[bool], needed: int) -> None:
    rule = Consecutive(needed, 1.0)
    success = False
    for index, positive in enumerate(looks):
        success = rule.observe(index * S // 20, positive)
    longest = max((len(list(run)) for positive, run in groupby(looks) if positive), default=0)
    assert success == (longest >= needed)
