"""What the other nodes need to know of the episode: its state and its id."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node

from vla_rl_nodes.episodes.machine import State
from vla_rl_nodes.nodes.complaints import Complaints
from vla_rl_nodes.nodes.event import Event, from_message
from vla_rl_nodes.nodes.qos import LATCHED

TOPIC = "episode/state"


class EpisodeState:
    """Follows ``episode/state``; until something is heard, the episode is idle.

    A state may be told again with other values, such as ``paused``.

    Attributes:
        state: the newest.
        episode_id: of the episode under way, or the last one.
        seed: that it was started with, or -1.
        ready_ns: when it became ready: what was captured before it may show the world before the
            reset.
        paused: whether the robot is to hold.
        retreating: whether the reset moves the robot in mid-episode.
        attempt: 1, and one more for each retreat.
        help: why the robot asks for a person, or an empty text.
        values: everything that the newest event said.

    Args:
        node: the node that subscribes.
        changed: called in the executor's thread with each new state and the whole event; while
            an episode runs, also when it is told again. Other states come once for each episode.
    """

    def __init__(
        self,
        node: Node,
        complaints: Complaints,
        changed: Callable[[State, Event], None] | None = None,
    ) -> None:
        self.state = State.IDLE
        self.episode_id = ""
        self.seed = -1
        self.ready_ns = 0
        self.paused = self.retreating = False
        self.attempt = 1
        self.help = ""
        self.values: Mapping[str, str] = {}
        self._complaints = complaints
        self._changed = changed
        self._last: tuple[State, str] | None = None
        node.create_subscription(DiagnosticArray, TOPIC, self._heard, LATCHED)

    @property
    def running_id(self) -> str | None:
        """The id of the running episode, or None."""
        return self.episode_id if self.state is State.RUNNING else None

    def _heard(self, message: DiagnosticArray) -> None:
        event = from_message(message, TOPIC, self._complaints)
        if event is None:
            return
        try:
            if event.name != "episode":
                raise ValueError
            state = State(event.message)
        except ValueError:
            self._complaints.say(f"{TOPIC}: is no episode state; check who else publishes it")
            return
        values = event.values
        episode_id = values.get("episode_id", "")
        new = (state, episode_id) != self._last
        self._last = state, episode_id
        # The id first: a tick in another thread must never pair the new state with the old id.
        if state is not State.RUNNING:
            self.state = state
        self.paused = values.get("paused") == "1"
        self.episode_id = episode_id
        seed, attempt = values.get("seed", ""), values.get("attempt", "")
        self.seed = int(seed) if seed.isdecimal() else -1
        self.attempt = int(attempt) if attempt.isdecimal() else 1
        self.retreating = values.get("retreating") == "1"
        self.help = values.get("help", "")
        self.values = values
        if state is State.READY and new:
            self.ready_ns = event.stamp_ns
        self.state = state
        if self._changed is not None and (new or state is State.RUNNING):
            self._changed(state, event)
