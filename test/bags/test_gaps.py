from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from vla_rl_nodes.bags.gaps import Gaps


@given(st.lists(st.booleans(), min_size=1, max_size=200))
def test_what_did_not_arrive_between_two_that_did_is_counted(arrived: list[bool]) -> None:
    gaps = Gaps()
    seen = [number for number, there in enumerate(arrived) if there]
    total = sum(gaps.missing("/t", number) for number in seen)
    assert total == (seen[-1] - seen[0] + 1 - len(seen) if seen else 0)


def test_topics_are_counted_apart_and_a_restart_is_no_gap() -> None:
    gaps = Gaps()
    numbers = [("/a", 5), ("/b", 1), ("/a", 6), ("/b", 2), ("/a", 1), ("/a", 2), ("/a", None)]
    assert [gaps.missing(topic, number) for topic, number in numbers] == [0] * 7
    assert gaps.missing("/a", 9) == 6 and gaps.missing("/b", 3) == 0
