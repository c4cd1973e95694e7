"""The base of every node: one that costs its executor little, and looks after its own topics."""

from __future__ import annotations

from typing import Any

from rclpy.clock import Clock, ClockType
from rclpy.event_handler import PublisherEventCallbacks, SubscriptionEventCallbacks
from rclpy.node import Node
from rclpy.qos import QoSCompatibility, qos_check_compatible

from vla_rl_nodes.nodes.complaints import Complaints

_LOOK_S = 0.25  # between two topics: all of a node's at once would hold up its callbacks


class LeanNode(Node):
    """A node without rclpy's event handlers, which watches its topics' QoS by itself.

    By default rclpy gives each publisher and subscription handlers for incompatible QoS, and its
    executor goes through all of them at every message: with the safety filter's forty they cost
    more than the messages. This node asks the middleware instead who is at the other end of its
    topics, one topic every quarter of a second, and says in one line what cannot be heard.

    Args:
        name: of the node.
        arguments: further ones of ``rclpy.node.Node``.
    """

    def __init__(self, name: str, **arguments: Any) -> None:
        super().__init__(name, **arguments)
        self._mismatches = Complaints(self.get_logger())
        self._looked = 0
        # On a clock of its own: simulated time may stand still.
        self.create_timer(_LOOK_S, self.look, clock=Clock(clock_type=ClockType.STEADY_TIME))

    @property
    def topics(self) -> list[str]:
        """Everything that it publishes or listens to."""
        return sorted({end.topic_name for end in (*self.subscriptions, *self.publishers)})

    def create_publisher(self, *arguments: Any, **named: Any) -> Any:
        """As of ``rclpy.node.Node``, without default event handlers."""
        named.setdefault("event_callbacks", PublisherEventCallbacks(use_default_callbacks=False))
        return super().create_publisher(*arguments, **named)

    def create_subscription(self, *arguments: Any, **named: Any) -> Any:
        """As of ``rclpy.node.Node``, without default event handlers."""
        events = SubscriptionEventCallbacks(use_default_callbacks=False)
        named.setdefault("event_callbacks", events)
        return super().create_subscription(*arguments, **named)

    def look(self) -> None:
        """Complains of what cannot be heard on the next topic, where one end is this node's."""
        topics = self.topics
        if not topics:  # they go one after the other when the node ends
            return
        topic = topics[self._looked % len(topics)]
        self._looked += 1
        own = self.get_name(), self.get_namespace()
        listening = self.get_subscriptions_info_by_topic(topic)
        for sender in self.get_publishers_info_by_topic(topic):
            for listener in listening:
                if own in (_whose(sender), _whose(listener)):
                    self._compare(topic, sender, listener)

    def _compare(self, topic: str, sender: Any, listener: Any) -> None:
        compatible, reason = qos_check_compatible(sender.qos_profile, listener.qos_profile)
        if compatible != QoSCompatibility.ERROR:
            return
        one, other = (
            "/".join(reversed(_whose(end))).replace("//", "/") for end in (sender, listener)
        )
        why = " ".join(str(reason).replace("ERROR:", "").split()).rstrip(";")
        self._mismatches.say(
            f"{topic}: nothing of {one} reaches {other}, their quality of service does not fit"
            f" ({why}); change one of the two"
        )


def _whose(end: Any) -> tuple[str, str]:
    return end.node_name, end.node_namespace
