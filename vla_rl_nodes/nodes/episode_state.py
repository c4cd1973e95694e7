"""What the other nodes need to know of the episode: its state and its id."""

from __future__ import annotations

from collections.abc import Callable

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node

from vla_rl_nodes.episodes.machine import State
from vla_rl_nodes.nodes.complaints import Complaints
from vla_rl_nodes.nodes.event import Event, from_message
from vla_rl_nodes.nodes.qos import LATCHED

TOPIC = "episode/state"


class EpisodeState:
    """Follows ``episode/state``; until something is heard, the episode is idle.

    ``ready_ns`` is when the episode became ready: what was captured before it may show the world
    before the reset.

    Args:
        node: the node that subscribes.
        changed: called in the executor's thread with the new state and the whole event.
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
        self._complaints = complaints
        self._changed = changed
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
        # The id first: a tick in another thread must never pair the new state with the old id.
        if state is not State.RUNNING:
            self.state = state
        self.episode_id = event.values.get("episode_id", "")
        seed = event.values.get("seed", "")
        self.seed = int(seed) if seed.isdecimal() else -1
        if state is State.READY:
            self.ready_ns = event.stamp_ns
        self.state = state
        if self._changed is not None:
            self._changed(state, event)
