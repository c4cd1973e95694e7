from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from vla_rl_nodes.view.executed import APART, ExecutedPath

SECOND = 1_000_000_000
STEPS = st.lists(
    st.tuples(st.integers(1, SECOND // 3), st.tuples(*[st.floats(-0.02, 0.02)] * 3)), min_size=1
)


@given(STEPS)
def test_what_is_left_out_lies_near_what_is_kept(
    steps: list[tuple[int, tuple[float, float, float]]],
) -> None:
    path = ExecutedPath(seconds=2.0, spacing=0.005)
    stamp, at = 0, np.zeros(3)
    every = []
    for ahead, way in steps:
        stamp, at = stamp + ahead, at + way
        path.add(stamp, at)
        every.append((stamp, at))
    stamps, points = path.points()
    assert stamps == sorted(set(stamps)) and points.shape == (len(stamps), 3)
    assert stamps[-1] == stamp and np.array_equal(points[-1], at)
    assert stamp - stamps[0] <= 2 * SECOND
    given_at = dict(every)
    assert all(np.array_equal(given_at[s], p) for s, p in zip(stamps, points, strict=True))
    gaps = np.linalg.norm(np.diff(points[:-1], axis=0), axis=1)
    assert (gaps >= 0.005).all()
    for s, p in every:
        before = [row for row, kept in enumerate(stamps) if kept <= s]
        if before:
            assert np.linalg.norm(p - points[before[-1]]) < 0.005 or s in stamps


def test_nothing_comes_of_nothing() -> None:
    stamps, points = ExecutedPath(1.0, 0.01).points()
    assert stamps == [] and points.shape == (0, 3)


def test_an_arm_that_was_put_elsewhere_begins_anew() -> None:
    path = ExecutedPath(10.0, 0.001)
    for number in range(5):
        path.add(number, np.array([0.01 * number, 0.0, 0.0]))
    path.add(5, np.array([0.04 + 1.01 * APART, 0.0, 0.0]))
    assert path.points()[0] == [5]


def test_a_clock_that_is_set_back_begins_anew() -> None:
    path = ExecutedPath(10.0, 0.001)
    path.add(100, np.zeros(3))
    path.add(50, np.array([0.01, 0.0, 0.0]))
    assert path.points()[0] == [50]


def test_an_arm_at_rest_shows_where_it_is_and_nothing_of_long_ago() -> None:
    path = ExecutedPath(1.0, 0.001)
    path.add(0, np.zeros(3))
    for number in range(1, 40):
        path.add(number * SECOND // 10, np.array([0.05, 0.0, 0.0]))
    stamps, points = path.points()
    assert len(stamps) <= 2 and (points == [0.05, 0.0, 0.0]).all()
