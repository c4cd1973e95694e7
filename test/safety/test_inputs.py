"""Bad input is refused with its reason and changes nothing."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla_rl_nodes.safety.inputs import Inbox, Refusal
from vla_rl_nodes.safety.reasons import Reason

NAMES = ("a", "b", "c")
MS = 1_000_000
NOW = 1_000_000 * MS


def new_inbox() -> Inbox:
    return Inbox("joint state", NAMES, 50 * MS, 20 * MS, Reason.STALE_STATE)


@given(st.permutations(NAMES))
def test_values_are_taken_by_name(names: list[str]) -> None:
    inbox = new_inbox()
    value = {"a": 1.5, "b": -2.5, "c": 3.5}
    assert inbox.offer(NOW, NOW, names, [value[name] for name in names]) is None
    assert inbox.latest is not None
    np.testing.assert_array_equal(inbox.latest.values, [1.5, -2.5, 3.5])


@pytest.mark.parametrize(
    ("stamp", "names", "values", "reason", "said"),
    [
        (NOW, NAMES[:2], [1, 2], Reason.WRONG_LENGTH, "2 names and 2 values, 3 are expected"),
        (NOW, NAMES, [1, 2], Reason.WRONG_LENGTH, "3 names and 2 values"),
        (NOW, (), [], Reason.WRONG_LENGTH, "0 names"),
        (NOW, ("a", "b", "z"), [1, 2, 3], Reason.WRONG_NAMES, "names z; a, b, c are expected"),
        (NOW, ("a", "b", "b"), [1, 2, 3], Reason.WRONG_NAMES, "a, b, b"),
        (NOW, NAMES, [1, math.nan, 3], Reason.NON_FINITE, "not finite"),
        (NOW, NAMES, [1, 2, -math.inf], Reason.NON_FINITE, "not finite"),
        (NOW + 21 * MS, NAMES, [1, 2, 3], Reason.FUTURE_STAMP, "21.0 ms ahead"),
        (NOW - 51 * MS, NAMES, [1, 2, 3], Reason.STALE_STATE, "51.0 ms old, 50.0 ms"),
        (NOW - 10 * MS, NAMES, [1, 2, 3], Reason.DUPLICATE, "an earlier one"),
        (NOW - 12 * MS, NAMES, [1, 2, 3], Reason.DUPLICATE, "an earlier one"),
    ],
)
def test_bad_samples_are_refused_with_one_line(
    stamp: int, names: tuple[str, ...], values: list[float], reason: Reason, said: str
) -> None:
    inbox = new_inbox()
    assert inbox.offer(NOW - 10 * MS, NOW, NAMES, [7.0, 8.0, 9.0]) is None
    good = inbox.latest
    refusal = inbox.offer(stamp, NOW, names, values)
    assert isinstance(refusal, Refusal)
    assert refusal.reason is reason
    assert refusal.message.startswith("joint state ") and said in refusal.message
    assert "\n" not in refusal.message
    assert inbox.latest is good


def test_the_edges_of_age_and_future_are_accepted() -> None:
    inbox = new_inbox()
    assert inbox.offer(NOW - 50 * MS, NOW, NAMES, [1, 2, 3]) is None
    assert inbox.offer(NOW + 20 * MS, NOW, NAMES, [4, 5, 6]) is None


def test_a_cleared_sample_cannot_come_again() -> None:
    inbox = new_inbox()
    assert inbox.offer(NOW, NOW, NAMES, [1, 2, 3]) is None
    inbox.clear()
    assert inbox.latest is None
    refusal = inbox.offer(NOW, NOW, NAMES, [1, 2, 3])
    assert isinstance(refusal, Refusal) and refusal.reason is Reason.DUPLICATE
