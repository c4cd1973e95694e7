"""Edges as the bag shows them: the same ones that replay finds in the recorded rows."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from vla_rl_nodes.intervention.edges import Edge, Edges
from vla_rl_nodes.replay.interventions import edges as edges_of_bag


def test_a_start_and_an_end_once_each() -> None:
    edges = Edges()
    assert edges.commanded(5) is None and edges.count == 0  # no episode: nothing is counted
    assert edges.episode("a") is None
    assert edges.others(8) is None
    assert edges.commanded(10) == Edge("start", 10, "a")
    assert edges.commanded(20) is None
    assert edges.others(15) is None  # of a tick before
    assert edges.others(30) == Edge("end", 20, "a")
    assert edges.others(40) is None
    assert edges.commanded(50) == Edge("start", 50, "a")
    assert edges.count == 2
    assert edges.episode(None) == Edge("end", 50, "a")
    assert edges.episode(None) is None
    assert edges.episode("b") is None and edges.count == 0


def test_one_that_goes_on_into_the_next_episode_is_one_of_each() -> None:
    edges = Edges()
    edges.episode("a")
    edges.commanded(10)
    assert edges.episode("b") == Edge("end", 10, "a")
    assert edges.commanded(20) == Edge("start", 20, "b")


@given(st.lists(st.sampled_from(["person", "policy", "nobody", "both"]), max_size=60))
def test_they_are_those_of_the_bag(rows: list[str]) -> None:
    """Rows of a bag: whose action carries the tick, and whether one was executed."""
    edges, told = Edges(), []
    edges.episode("a")
    for stamp, row in enumerate(rows):
        if row in ("person", "both"):
            told.append(edges.commanded(stamp))
        elif row == "policy":
            told.append(edges.others(stamp))
    told.append(edges.episode(None))
    intervened = np.array([row in ("person", "both") for row in rows], dtype=np.bool_)
    executed = np.array([[np.nan if row == "nobody" else 1.0] for row in rows], dtype=np.float32)
    start, end = edges_of_bag(intervened, executed.reshape(len(rows), 1))
    found = [edge for edge in told if edge is not None]
    assert [e.stamp_ns for e in found if e.kind == "start"] == np.flatnonzero(start).tolist()
    assert [e.stamp_ns for e in found if e.kind == "end"] == np.flatnonzero(end).tolist()
    assert [e.kind for e in found] == ["start", "end"] * (len(found) // 2)
