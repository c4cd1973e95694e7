"""The last seconds, for people who look up only now."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from vla_rl_nodes.operator.recent import Lately, Worst

STEPS = st.lists(st.tuples(st.floats(0.0, 1.0), st.floats(0.0, 9.0)), max_size=60)


@given(STEPS)
def test_the_worst_is_the_greatest_of_the_window(steps: list[tuple[float, float]]) -> None:
    worst, now, plain = Worst(2.0), 0.0, []
    assert worst.value(0.0) is None
    for wait, value in steps:
        now += wait
        worst.add(now, value)
        plain.append((now, value))
        assert worst.value(now) == max(v for at, v in plain if at >= now - 2.0)
    assert worst.value(now + 3.0) is None


def test_names_stay_a_while_and_are_not_without_end() -> None:
    lately = Lately(1.5, 2)
    lately.add(0.0, ["a"])
    lately.add(1.0, ["b", "c"])
    assert lately.names(1.0) == ["a", "b"]
    assert lately.names(1.6) == ["b"]
    lately.add(2.0, ["b"])
    assert lately.names(3.4) == ["b"] and lately.names(3.6) == []
