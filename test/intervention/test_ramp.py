"""The blend rises and falls steadily, whatever the person does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla_rl_nodes.intervention.ramp import Ramp
from vla_rl_nodes.intervention.settings import Blend

MS = 1_000_000


def test_it_takes_the_time_that_it_is_given() -> None:
    ramp, blend = Ramp(), Blend(in_s=0.2, out_s=0.1)
    ramp.follow(0, False, blend)
    shares = []
    for ms in range(10, 210, 10):
        ramp.follow(ms * MS, True, blend)
        shares.append(ramp.share)
    assert shares == pytest.approx([i / 20 for i in range(1, 21)])
    ramp.follow(250 * MS, False, blend)
    assert ramp.share == pytest.approx(0.5)
    ramp.drop()
    assert ramp.share == 0.0


def test_without_a_length_it_is_at_once() -> None:
    ramp, blend = Ramp(), Blend(in_s=0.0, out_s=0.0)
    ramp.follow(0, True, blend)
    assert ramp.share == 1.0
    ramp.follow(0, False, blend)
    assert ramp.share == 0.0


@given(
    st.lists(st.tuples(st.integers(-50, 200), st.booleans()), max_size=60),
    st.floats(0.01, 2.0), st.floats(0.01, 2.0),
)  # fmt: skip
def test_it_is_monotone_bounded_and_never_faster_than_its_length(
    steps: list[tuple[int, bool]], in_s: float, out_s: float
) -> None:
    ramp, blend, now = Ramp(), Blend(in_s=in_s, out_s=out_s), 0
    ramp.follow(now, False, blend)
    for passed_ms, rising in steps:
        before, now = ramp.share, now + passed_ms * MS
        ramp.follow(now, rising, blend)
        change = ramp.share - before
        assert 0.0 <= ramp.share <= 1.0
        assert change >= 0.0 if rising else change <= 0.0
        assert abs(change) <= max(passed_ms, 0) / 1e3 / (in_s if rising else out_s) + 1e-9
