"""Stamps of commands: the policy's own, or the node's when the policy is silent."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from vla_rl_nodes.intervention.ticks import Ticks
from vla_rl_nodes.safety.state import Instant

MS = 1_000_000
PERIOD = 50 * MS


def at(ms: float) -> Instant:
    return Instant(round(1e18 + ms * MS), round(ms * MS))


def stamp(ms: float) -> int:
    return at(ms).ros_ns


def test_the_policys_ticks_are_taken_as_they_come() -> None:
    ticks = Ticks(PERIOD)
    assert all(ticks.policy(stamp(ms), at(ms + 1)) for ms in range(0, 500, 50))
    assert not ticks.policy(stamp(450), at(452))  # twice
    assert not ticks.policy(stamp(470), at(472))  # too soon
    assert not ticks.policy(stamp(600), at(500))  # of the future


def test_without_the_policy_it_ticks_by_itself_after_one_and_a_half_periods() -> None:
    ticks = Ticks(PERIOD)
    ticks.policy(stamp(0), at(1))
    own = [ms for ms in range(10, 400, 10) if ticks.own(at(ms)) is not None]
    assert own == [80, 130, 180, 230, 280, 330, 380]


def test_the_policy_that_comes_back_is_followed_again() -> None:
    ticks = Ticks(PERIOD)
    for ms in range(0, 200, 10):
        ticks.own(at(ms))
    assert not ticks.policy(stamp(160), at(199))  # from before the last own one
    assert ticks.policy(stamp(215), at(216))
    assert [ms for ms in range(220, 300, 10) if ticks.own(at(ms)) is not None] == []


def test_stamps_from_before_the_filter_turned_are_left_out() -> None:
    ticks = Ticks(PERIOD)
    ticks.begin(stamp(100))
    assert not ticks.policy(stamp(99), at(101))
    assert ticks.policy(stamp(150), at(151))
    fresh = Ticks(PERIOD)
    fresh.begin(stamp(100))
    assert fresh.own(at(90)) is None and fresh.own(at(100)) == stamp(100)


@given(st.lists(st.tuples(st.integers(0, 40), st.sampled_from(["own", "policy", "late"]))))
def test_they_rise_and_keep_half_a_period_apart(steps: list[tuple[int, str]]) -> None:
    ticks, now, sent = Ticks(PERIOD), 1000.0, []
    for passed, what in steps:
        now += passed
        if what == "own":
            own = ticks.own(at(now))
            sent += [] if own is None else [own]
        else:
            given_stamp = stamp(now - (30 if what == "late" else 0.2))
            sent += [given_stamp] if ticks.policy(given_stamp, at(now)) else []
    assert all(2 * (b - a) >= PERIOD for a, b in pairwise(sent))
