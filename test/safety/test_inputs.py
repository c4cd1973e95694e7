"""Bad input is refused with its reason and changes nothing; ages count on both clocks."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla_rl_nodes.safety.inputs import Inbox, Refusal
from vla_rl_nodes.safety.reasons import Reason
from vla_rl_nodes.safety.state import Instant

NAMES = ("a", "b", "c")
MS = 1_000_000
NOW = 1_000_000 * MS
STEADY = 77 * MS


def at(ms: float = 0.0, steady_ms: float | None = None) -> Instant:
    """An instant so long after the tests' now; the steady clock has another origin."""
    return Instant(
        NOW + round(ms * MS), STEADY + round((ms if steady_ms is None else steady_ms) * MS)
    )


def new_inbox() -> Inbox:
    return Inbox("joint state", NAMES, 50 * MS, 20 * MS, Reason.STALE_STATE)


@given(st.permutations(NAMES))
def test_values_are_taken_by_name(names: list[str]) -> None:
    inbox = new_inbox()
    value = {"a": 1.5, "b": -2.5, "c": 3.5}
    assert inbox.offer(NOW, at(), names, [value[name] for name in names]) is None
    assert inbox.latest is not None
    np.testing.assert_array_equal(inbox.latest.values, [1.5, -2.5, 3.5])


@pytest.mark.parametrize(
    ("stamp", "names", "values", "reason", "said"),
    [
        (NOW, NAMES[:2], [1, 2], Reason.WRONG_LENGTH, "2 names and 2 values, 3 are expected"),
        (NOW, NAMES, [1, 2], Reason.WRONG_LENGTH, "3 names and 2 values"),
        (NOW, (), [], Reason.WRONG_LENGTH, "0 names"),
        (NOW, NAMES, [[1], [2], [3]], Reason.WRONG_LENGTH, "is no list of 3 numbers"),
        (NOW, ("a", "b", "z"), [1, 2, 3], Reason.WRONG_NAMES, "names z; a, b, c are expected"),
        (NOW, ("a", "b", "b"), [1, 2, 3], Reason.WRONG_NAMES, "a, b, b"),
        (NOW, NAMES, [1, math.nan, 3], Reason.NON_FINITE, "not finite"),
        (NOW, NAMES, [1, 2, -math.inf], Reason.NON_FINITE, "not finite"),
        (NOW, NAMES, [1, 2, 10**400], Reason.NON_FINITE, "no number"),
        (NOW, NAMES, [1, 2, "three"], Reason.NON_FINITE, "no number"),
        (NOW + 21 * MS, NAMES, [1, 2, 3], Reason.FUTURE_STAMP, "21.0 ms ahead"),
        (NOW - 51 * MS, NAMES, [1, 2, 3], Reason.STALE_STATE, "51.0 ms old, 50.0 ms"),
        (NOW - 10 * MS, NAMES, [1, 2, 3], Reason.DUPLICATE, "an earlier one"),
        (NOW - 12 * MS, NAMES, [1, 2, 3], Reason.DUPLICATE, "an earlier one"),
    ],
)
def test_bad_samples_are_refused_with_one_line(
    stamp: int, names: tuple[str, ...], values: list[Any], reason: Reason, said: str
) -> None:
    inbox = new_inbox()
    assert inbox.offer(NOW - 10 * MS, at(), NAMES, [7.0, 8.0, 9.0]) is None
    good = inbox.latest
    refusal = inbox.offer(stamp, at(), names, values)
    assert isinstance(refusal, Refusal)
    assert refusal.reason is reason
    assert refusal.message.startswith("joint state ") and said in refusal.message
    assert "\n" not in refusal.message
    assert inbox.latest is good


def test_the_edges_of_age_and_future_are_accepted() -> None:
    inbox = new_inbox()
    assert inbox.offer(NOW - 50 * MS, at(), NAMES, [1, 2, 3]) is None
    assert inbox.offer(NOW + 20 * MS, at(), NAMES, [4, 5, 6]) is None


def test_a_cleared_sample_cannot_come_again() -> None:
    inbox = new_inbox()
    assert inbox.offer(NOW, at(), NAMES, [1, 2, 3]) is None
    inbox.clear()
    assert inbox.latest is None
    refusal = inbox.offer(NOW, at(), NAMES, [1, 2, 3])
    assert isinstance(refusal, Refusal) and refusal.reason is Reason.DUPLICATE


@pytest.mark.parametrize(
    ("now", "reason", "said"),
    [
        (at(50), None, ""),
        (at(50.1), Reason.STALE_STATE, "the joint state is 50 ms old"),
        (at(10, 60), Reason.STALE_STATE, "is 60 ms old"),  # the node's clock was set back
        (at(60, 10), Reason.STALE_STATE, "is 60 ms old"),  # or forward
        (at(-20, 1), None, ""),
        (at(-21, 1), Reason.FUTURE_STAMP, "the clock ran backwards past the joint state"),
    ],
)
def test_a_sample_ages_by_its_stamp_and_by_its_arrival(
    now: Instant, reason: Reason | None, said: str
) -> None:
    inbox = new_inbox()
    missing = inbox.problem(now)
    assert missing is not None and missing.message == "the joint state has not come"
    assert inbox.offer(NOW, at(), NAMES, [1, 2, 3]) is None
    problem = inbox.problem(now)
    if reason is None:
        assert problem is None
    else:
        assert problem is not None and problem.reason is reason and said in problem.message
