"""When the reset node ends by itself what an episode has asked for."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("rclpy")

from vla_rl_nodes.episodes.machine import State
from vla_rl_nodes.nodes import reset
from vla_rl_nodes.nodes.reset import Job, Reset


class Node:
    """The reset node's part that knows of the episode."""

    def __init__(self, state: State) -> None:
        self._episode = SimpleNamespace(state=state, episode_id="1-a")
        self.dead = False
        self._alive = SimpleNamespace(silent=lambda now: self.dead)

    def orphaned(self, job: Job) -> bool:
        return Reset._orphaned(self, job)  # type: ignore[arg-type]


def job(of: State | None) -> Job:
    made = Job(of is State.RUNNING, Any)
    made.of = of
    return made


@pytest.fixture(autouse=True)
def _no_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reset, "instant", lambda node: None)


@pytest.mark.parametrize(
    ("of", "after"),
    [(State.RESETTING, State.ABORTED), (State.RESETTING, State.IDLE),
     (State.RESETTING, State.RUNNING), (State.RUNNING, State.ABORTED),
     (State.RUNNING, State.TIMEOUT)],
)  # fmt: skip
def test_what_an_episode_asked_for_ends_with_it(of: State, after: State) -> None:
    node, asked = Node(of), job(of)
    assert not node.orphaned(asked) and asked.episode_id == "1-a"
    node._episode.state = after
    assert node.orphaned(asked)


def test_the_next_episode_is_another_one() -> None:
    node, asked = Node(State.RESETTING), job(State.RESETTING)
    assert not node.orphaned(asked)
    node._episode.episode_id = "2-b"
    assert node.orphaned(asked)


def test_a_dead_episode_node_ends_it_too() -> None:
    node, asked = Node(State.RESETTING), job(State.RESETTING)
    assert not node.orphaned(asked)
    node.dead = True
    assert node.orphaned(asked)


def test_an_operators_own_reset_goes_on() -> None:
    node, own = Node(State.ABORTED), job(None)
    node.dead = True
    node._episode.state = State.IDLE
    assert not node.orphaned(own)
