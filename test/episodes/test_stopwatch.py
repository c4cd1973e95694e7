from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from vla_rl_nodes.episodes.stopwatch import Stopwatch

S = 1_000_000_000


@given(st.lists(st.tuples(st.integers(0, 5 * S), st.booleans()), max_size=30))
def test_it_counts_exactly_the_time_in_which_it_goes(steps: list[tuple[int, bool]]) -> None:
    watch, now, expected, going = Stopwatch(), 0, 0, True
    watch.restart(0)
    for passed, go in steps:
        now += passed
        expected += passed if going else 0
        assert watch.seconds(now) == expected / 1e9
        watch.go(go, now)
        going = go
    assert watch.seconds(now + S) == (expected + (S if going else 0)) / 1e9


def test_before_it_is_started_it_counts_nothing() -> None:
    watch = Stopwatch()
    assert watch.seconds(5 * S) == 0.0
    watch.restart(5 * S, going=False)
    assert watch.seconds(9 * S) == 0.0
