"""Actions are joined by the stamp of their tick."""

from __future__ import annotations

import json
import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from vla_rl_nodes.operator.said import Said
from vla_rl_nodes.operator.trace import SETTLED_NS, Trace

AXES = ("x", "y")
MS = 1_000_000


def trace() -> Trace:
    return Trace(AXES, 20.0)


def policy(stamp: int, chunk: str) -> Said:
    return Said("running", {"chunk_id": chunk}, 0, stamp)


def test_one_row_for_each_tick_whatever_comes_first() -> None:
    known = trace()
    for tick, chunk in enumerate(("1", "1", "2", "", "2", "3")):
        stamp = (1000 + 50 * tick) * MS
        known.policy(policy(stamp, chunk))
        known.vector("executed", stamp, AXES, [tick, 0.5])
        known.vector("proposed", stamp, AXES, [tick, 1.0])
        if tick == 4:
            known.vector("human", stamp, AXES, [7.0, 7.0])
        known.filtered(
            Said("armed", {"command_stamp": str(stamp), "source": "policy", "reasons": "x"})
        )
    rows, number = known.since(0, 2000 * MS)
    assert [row[0] for row in rows] == [1000, 1050, 1100, 1150, 1200, 1250]
    assert [row[4] for row in rows] == [0, 0, 1, 0, 0, 1]  # seams
    assert rows[4][1:4] == [[4.0, 1.0], [7.0, 7.0], [4.0, 0.5]] and rows[4][5:] == ["policy", 1]
    assert known.since(number, 2000 * MS) == ([], number)
    json.dumps(rows, allow_nan=False)


def test_a_tick_is_told_once_and_only_when_it_is_complete() -> None:
    known = trace()
    known.vector("proposed", 1000 * MS, AXES, [1.0, 2.0])
    assert known.since(0, 1100 * MS) == ([], 0)
    rows, number = known.since(0, 1000 * MS + SETTLED_NS)
    assert len(rows) == 1
    known.vector("proposed", 1050 * MS, AXES, [1.0, 2.0])
    assert len(known.since(number, 2000 * MS)[0]) == 1


def test_the_length_is_bounded() -> None:
    known = trace()
    for tick in range(5000):
        known.vector("proposed", tick * MS, AXES, [0.0, 0.0])
    rows, _ = known.since(0, 10**18)
    assert len(rows) == 200 and rows[0][0] == 4800.0


def test_what_does_not_fit_is_left_out() -> None:
    known = trace()
    for names, values in (
        (("y", "x"), [0.0, 0.0]), (AXES, [0.0]), (AXES, [math.nan, 0.0]), (AXES, [0.0] * 3),
    ):  # fmt: skip
        known.vector("proposed", 1, names, values)
    known.planned(1, AXES, np.zeros((3, 3)))
    known.planned(1, AXES, np.full((3, 2), np.inf))
    known.planned(1, AXES, np.zeros((1000, 2)))
    known.planned(1, AXES, np.zeros(0))
    known.filtered(Said("armed", {"command_stamp": "nonsense"}))
    known.filtered(Said("armed", {"command_stamp": "1e5"}))
    known.filtered(Said("armed", {}))
    assert known.since(0, 10**18) == ([], 0) and known.plan is None


def test_the_newest_plan() -> None:
    known = trace()
    known.planned(5 * MS, AXES, np.array([[0.1, 0.2], [0.3, 0.4]]))
    assert known.plan == {"at_ms": 5.0, "rows": [[0.1, 0.2], [0.3, 0.4]]}


@given(st.lists(st.tuples(st.integers(0, 40), st.sampled_from(["proposed", "executed"]))))
def test_no_row_is_told_twice(steps: list[tuple[int, str]]) -> None:
    known, number, told = trace(), 0, []
    for now, (stamp, what) in enumerate(steps):
        known.vector(what, stamp * MS, AXES, [0.0, 0.0])
        rows, number = known.since(number, now * 5 * MS + SETTLED_NS)
        told += [row[0] for row in rows]
    assert len(told) == len(set(told))
