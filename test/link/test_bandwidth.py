"""The cap holds over any pattern of sends and pauses, on an injected clock."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from vla_rl_nodes.link.bandwidth import TokenBucket


@given(
    rate=st.integers(1, 10**8),
    steps=st.lists(st.tuples(st.integers(0, 1 << 16), st.floats(0, 30)), max_size=60),
)
def test_never_more_than_the_rate_and_a_quarter_second_ahead(
    rate: int, steps: list[tuple[int, float]]
) -> None:
    now = 0.0
    bucket = TokenBucket(rate, lambda: now)
    sent = 0
    for count, pause in steps:
        now += bucket.take(count)
        sent += count
        assert sent <= rate * (now + 0.25) * (1 + 1e-9) + 1e-3
        now += pause


def test_the_full_rate_is_used_while_there_is_something_to_send() -> None:
    now = 0.0
    bucket = TokenBucket(1000, lambda: now)
    for _ in range(100):
        now += bucket.take(100)
    assert abs(now - 9.75) < 1e-6


def test_without_a_cap_nothing_waits() -> None:
    bucket = TokenBucket(0, lambda: 0.0)
    assert bucket.take(1 << 40) == 0.0 and bucket.piece == 1 << 16


def test_a_piece_takes_a_quarter_second_at_most() -> None:
    assert TokenBucket(1000).piece == 250 and TokenBucket(1).piece == 1
