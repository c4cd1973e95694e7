from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla_rl_nodes.replay.interventions import edges

from .plain_search import takeovers
from .plain_steps import steps_episode


def marks(steps: str) -> tuple[str, str]:
    """Edges of steps in which a person (H), a policy (p) or nobody (.) acted; h: a person's action
    that the filter did not accept."""
    person = np.array([s in "Hh" for s in steps], dtype=np.bool_)
    executed = np.array([[0.0 if s in "Hp" else np.nan] for s in steps], dtype=np.float32)
    start, end = edges(person, executed)
    assert start.dtype == end.dtype == np.bool_
    return "".join("x" if s else "." for s in start), "".join("x" if e else "." for e in end)


@pytest.mark.parametrize(
    ("steps", "start", "end"),
    [
        ("pppp", "....", "...."),
        ("pHHp", ".x..", "..x."),
        ("HHHH", "x...", "...x"),
        ("H", "x", "x"),
        ("pHpH", ".x.x", ".x.x"),
        # A lost message of the device does not make two interventions of one ...
        ("pH.Hp", ".x...", "...x."),
        ("ph..hp", ".x....", "....x."),
        # ... and neither does a person who holds still at its end.
        ("pH..", ".x..", ".x.."),
        ("..H.p", "..x..", "..x.."),
    ],
)
def test_an_intervention_is_counted_once(steps: str, start: str, end: str) -> None:
    assert marks(steps) == (start, end)


@given(st.text(alphabet="Hhp.", min_size=1, max_size=40))
def test_edges_are_those_of_a_plain_search(steps: str) -> None:
    start, end = marks(steps)
    expected = takeovers([s in "Hh" for s in steps], [s in "Hp" for s in steps])
    assert [s == "x" for s in start] == expected[0]
    assert [e == "x" for e in end] == expected[1]
    assert start.count("x") == end.count("x")
    between = 0
    for begins, ends in zip(start, end, strict=True):
        between += begins == "x"
        assert between in (0, 1)
        between -= ends == "x"


def test_whoever_leaves_the_edges_out_gets_them() -> None:
    episode = steps_episode([0, 0, 0, 0, float("nan")], person=[False, True, True, False, True])
    steps = episode.transitions
    assert np.flatnonzero(steps.intervention_start).tolist() == [1, 4]
    assert np.flatnonzero(steps.intervention_end).tolist() == [2, 4]
    assert steps.reward_source.tolist() == [0, 0, 0, 0, -1]
    assert steps.reward_source.dtype == np.int32
