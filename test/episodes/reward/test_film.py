"""Frames evenly over an episode."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from vla_rl_nodes.episodes.reward.film import Film


def filmed(count: int, frames: int) -> tuple[Film, list[int]]:
    film = Film(frames)
    for index in range(count):
        film.add(index, {"camera": np.full((1, 1, 3), index, np.int64)})
    taken = film.frames()
    return film, taken["camera"][:, 0, 0, 0].tolist() if taken else []


def test_nothing_was_filmed() -> None:
    assert filmed(0, 4)[1] == []


def test_few_frames_are_repeated_and_of_one_the_newest_counts() -> None:
    assert filmed(1, 4)[1] == [0, 0, 0, 0]
    assert filmed(2, 4)[1] == [0, 0, 1, 1]
    assert filmed(5, 1)[1] == [4]


def test_a_frame_that_is_no_newer_is_left_out() -> None:
    film = Film(2)
    for stamp, light in ((5, 1), (5, 2), (4, 3), (6, 4)):
        film.add(stamp, {"camera": np.full((1, 1, 3), light)})
    assert film.frames()["camera"][:, 0, 0, 0].tolist() == [1, 4] and film.newest_ns == 6
    film.reset()
    assert film.frames() == {}


@given(st.integers(1, 3000), st.integers(2, 16))
def test_the_ends_are_there_and_the_rest_is_even(count: int, frames: int) -> None:
    film, taken = filmed(count, frames)
    assert len(taken) == frames and taken == sorted(taken)
    assert taken[0] == 0 and taken[-1] == count - 1
    assert len(film._kept) <= 2 * frames
    if count > 8 * frames:
        ideal = np.linspace(0, count - 1, frames)
        assert np.abs(np.array(taken) - ideal).max() <= 1.5 * (count - 1) / (frames - 1)
