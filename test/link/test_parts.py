"""A part is never larger than both sides take, nor so small that nothing gets on."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from vla_rl_nodes.link.parts import PartSize


@given(
    largest=st.integers(1, 1 << 26),
    allowed=st.integers(1, 1 << 26),
    steps=st.lists(st.booleans(), max_size=60),
)
def test_within_its_bounds(largest: int, allowed: int, steps: list[bool]) -> None:
    parts = PartSize(largest)
    parts.allow(allowed)
    for held in steps:
        before = parts.size
        parts.worked() if held else parts.broke()
        assert min(largest, allowed, 1 << 16) <= parts.size <= min(largest, allowed)
        assert parts.size >= before if held else parts.size <= before


def test_it_recovers_when_the_link_holds() -> None:
    parts = PartSize(1 << 22)
    for _ in range(10):
        parts.broke()
    assert parts.size == 1 << 16
    for _ in range(4 * 6):
        parts.worked()
    assert parts.size == 1 << 22
