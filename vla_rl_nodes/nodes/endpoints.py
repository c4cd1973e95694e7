"""Who publishes and who listens on topics, as far as this machine can see."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import rclpy

POLL_S = 0.05


@dataclass(frozen=True)
class Endpoints:
    """Number of publishers and of subscribers by full topic name."""

    publishers: dict[str, int]
    subscribers: dict[str, int]


def count_endpoints(topics: Sequence[str], awaited: str, seconds: float) -> Endpoints:
    """Counts the endpoints of topics, from a node of its own.

    Args:
        topics: full names.
        awaited: the count is made as soon as this one has a publisher,
        seconds: or after so long: discovery takes a moment.
    """
    context = rclpy.Context()
    rclpy.init(context=context)
    node = rclpy.create_node("vla_rl_doctor", context=context)
    try:
        deadline = time.monotonic() + seconds
        while node.count_publishers(awaited) == 0 and time.monotonic() < deadline:
            time.sleep(POLL_S)
        return Endpoints(
            {topic: node.count_publishers(topic) for topic in topics},
            {topic: node.count_subscribers(topic) for topic in topics},
        )
    finally:
        node.destroy_node()
        rclpy.try_shutdown(context=context)
