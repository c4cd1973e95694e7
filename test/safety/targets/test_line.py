"""A line reaches each target after one control period, and finds its way back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vla_rl_nodes.safety.targets.line import Line

START = np.array([0.3, -1.2])
points = st.lists(st.floats(-3.0, 3.0), min_size=2, max_size=2).map(np.array)


def test_begins_at_rest() -> None:
    line = Line(START, 5, 10)
    for _ in range(7):
        np.testing.assert_array_equal(line.advance(), START)


def test_start_is_copied() -> None:
    given_start = START.copy()
    line = Line(given_start, 5, 10)
    given_start[:] = 9.0
    np.testing.assert_array_equal(line.now, START)


@settings(deadline=None)
@given(to=points, ticks=st.integers(1, 20))
def test_reaches_its_target_in_even_steps(to: np.ndarray, ticks: int) -> None:
    line = Line(START, ticks, 10)
    line.go(to)
    way = np.array([line.advance() for _ in range(ticks + 2)])
    expected = START + np.outer(np.arange(1, ticks + 1) / ticks, to - START)
    np.testing.assert_allclose(way[:ticks], expected, atol=1e-14)
    np.testing.assert_array_equal(way[ticks - 1 :], [to, to, to])


def test_new_target_on_the_way_starts_from_where_the_reference_is() -> None:
    line = Line(np.zeros(1), 4, 10)
    line.go(np.array([4.0]))
    line.advance()
    line.go(np.array([-3.0]))
    np.testing.assert_allclose([line.advance()[0] for _ in range(5)], [0, -1, -2, -3, -3])


@settings(deadline=None)
@given(targets=st.lists(points, min_size=1, max_size=8))
def test_back_goes_through_the_same_targets(targets: list[np.ndarray]) -> None:
    line = Line(START, 3, 10)
    for q in targets:
        line.go(q)
        for _ in range(3):
            line.advance()
    for q in [START, *targets[:-1]][::-1]:
        assert line.back()
        for _ in range(3):
            reached = line.advance()
        np.testing.assert_array_equal(reached, q)
    assert not line.back()
    np.testing.assert_array_equal(line.advance(), START)


def test_remembers_so_many_targets() -> None:
    line = Line(np.zeros(1), 1, 3)
    for k in range(1, 6):
        line.go(np.array([float(k)]))
        line.advance()
    ends = []
    while line.back():
        ends.append(line.advance()[0])
    assert ends == [4.0, 3.0, 2.0]


def test_restart_stands_still_and_keeps_the_way_back() -> None:
    line = Line(np.zeros(1), 2, 3)
    line.go(np.array([1.0]))
    line.advance()
    line.restart(np.array([0.7]))
    assert line.advance()[0] == pytest.approx(0.7, abs=0)
    assert line.back()
    line.advance()
    assert line.advance()[0] == pytest.approx(0.0, abs=0)
