"""What a node that acts needs to know of ``safety/status``."""

from __future__ import annotations

from collections.abc import Callable

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node

from vla_rl_nodes.chunking.following import FOLLOWED, POLICY, heard
from vla_rl_nodes.nodes.complaints import Complaints
from vla_rl_nodes.nodes.event import Event, from_message
from vla_rl_nodes.nodes.qos import STREAM

TOPIC = "safety/status"


class FilterStatus:
    """Follows ``safety/status``; until something is heard, the node's commands are executed.

    Args:
        node: the node that subscribes.
        complaints: gets one line where something else than a status comes.
        told: called in the executor's thread with every status and its reasons.

    Attributes:
        following: whether the node's commands are executed. Another thread may read it.
        in_command: who was, the last time that anybody was.
    """

    def __init__(
        self,
        node: Node,
        complaints: Complaints,
        told: Callable[[Event, frozenset[str]], None] | None = None,
    ) -> None:
        self.following = FOLLOWED
        self.in_command = POLICY
        self._complaints, self._told = complaints, told
        node.create_subscription(DiagnosticArray, TOPIC, self._heard, STREAM)

    def _heard(self, message: DiagnosticArray) -> None:
        event = from_message(message, TOPIC, self._complaints)
        if event is None:
            return
        source = event.values.get("source", "")
        reasons = frozenset(event.values.get("reasons", "").split(",")) - {""}
        self.following = heard(self.following, event.message, source, reasons)
        self.in_command = source or self.in_command
        if self._told is not None:
            self._told(event, reasons)
