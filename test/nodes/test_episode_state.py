"""What nodes take from episode/state: each state once, and the values of a running episode."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray

from vla_rl_nodes.episodes.machine import State
from vla_rl_nodes.nodes.complaints import Complaints
from vla_rl_nodes.nodes.episode_state import EpisodeState
from vla_rl_nodes.nodes.event import Event, to_message


class Listener:
    """A node that subscribes to one topic, and keeps what is logged."""

    def __init__(self) -> None:
        self.hear: Callable[[DiagnosticArray], None] = lambda message: None
        self.lines: list[str] = []
        self.changes: list[State] = []
        self.episode = EpisodeState(self, Complaints(self), self._changed)  # type: ignore[arg-type]

    def _changed(self, state: State, event: Event) -> None:
        self.changes.append(state)

    def create_subscription(self, kind: Any, topic: str, hear: Any, profile: Any) -> None:
        assert topic == "episode/state"
        self.hear = hear

    def warning(self, line: str) -> None:
        self.lines.append(line)

    def say(self, state: str, name: str = "episode", stamp_ns: int = 7, **values: str) -> None:
        self.hear(to_message(Event(name, state, {"episode_id": "e", **values}, stamp_ns=stamp_ns)))


def test_each_state_comes_once_and_a_running_episode_may_be_told_again() -> None:
    node = Listener()
    for state in ("resetting", "ready", "ready", "running", "running", "success", "success"):
        node.say(state)
    running = [State.RUNNING, State.RUNNING]
    assert node.changes == [State.RESETTING, State.READY, *running, State.SUCCESS]
    node.say("success", episode_id="f")
    assert node.changes[-1] is State.SUCCESS and len(node.changes) == 6


def test_it_is_ready_from_when_it_became_so() -> None:
    node = Listener()
    node.say("ready", stamp_ns=100)
    node.say("ready", stamp_ns=200, paused="1")
    assert node.episode.ready_ns == 100 and node.episode.paused
    node.say("ready", stamp_ns=300, episode_id="f")
    assert node.episode.ready_ns == 300


def test_what_it_says_of_a_running_episode() -> None:
    node = Listener()
    assert node.episode.running_id is None and not node.episode.paused
    node.say("running", seed="5", attempt="3", paused="1", retreating="1", help="lost", goal="x")
    episode = node.episode
    assert (episode.running_id, episode.seed, episode.attempt) == ("e", 5, 3)
    assert episode.paused and episode.retreating and episode.help == "lost"
    assert episode.values["goal"] == "x"
    node.say("running", seed="-1", attempt="none")
    assert (episode.seed, episode.attempt, episode.help) == (-1, 1, "")
    assert not episode.paused and not episode.retreating


def test_what_is_no_state_changes_nothing() -> None:
    node = Listener()
    node.say("running")
    node.say("flying")
    node.say("idle", name="weather")
    node.hear(DiagnosticArray())
    assert node.episode.state is State.RUNNING and node.changes == [State.RUNNING]
    assert len(node.lines) == 2 and all("episode/state" in line for line in node.lines)
