"""Whether the episode's node still speaks: without it nobody ends what the policy does."""

from __future__ import annotations

from rclpy.node import Node
from std_msgs.msg import Bool

from vla_rl_nodes.nodes.clocks import instant
from vla_rl_nodes.nodes.qos import STREAM
from vla_rl_nodes.safety.state import Instant

TOPIC = "episode/alive"
PERIOD_S = 0.2
SILENT_NS = 1_000_000_000


class EpisodeAlive:
    """Follows ``episode/alive``, which the episode's node repeats five times a second.

    Args:
        node: subscribes.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._heard_ns: int | None = None
        node.create_subscription(Bool, TOPIC, self._heard, STREAM)

    def _heard(self, message: Bool) -> None:
        self._heard_ns = instant(self._node).steady_ns

    def silent(self, now: Instant) -> bool:
        """Whether it has spoken once, and then not for a second."""
        return self._heard_ns is not None and now.steady_ns - self._heard_ns > SILENT_NS
