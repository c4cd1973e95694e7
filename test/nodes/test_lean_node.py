"""A node without event handlers says all the same what cannot be heard."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
import rclpy
from std_msgs.msg import Bool

from vla_rl_nodes.demo.run import isolate
from vla_rl_nodes.nodes.complaints import Complaints
from vla_rl_nodes.nodes.lean_node import LeanNode
from vla_rl_nodes.nodes.qos import LATCHED, SENSOR, STREAM

pytestmark = pytest.mark.graph
isolate()


class Lines(list[str]):
    """What would be logged."""

    def warning(self, line: str) -> None:
        self.append(line)


@pytest.fixture
def pair() -> Iterator[tuple[LeanNode, LeanNode]]:
    context = rclpy.Context()
    rclpy.init(context=context)
    nodes = LeanNode("one", namespace="arm", context=context), LeanNode("other", context=context)
    yield nodes
    for node in nodes:
        node.destroy_node()
    rclpy.shutdown(context=context)


def said_by(node: LeanNode, count: int) -> list[str]:
    """What it complains of, once it sees that many things."""
    deadline = time.monotonic() + 20.0
    while True:
        node._mismatches = Complaints(lines := Lines())
        for _ in node.topics:
            node.look()
        if len(lines) >= count or time.monotonic() > deadline:
            return sorted(lines)


def test_its_executor_has_no_event_handlers_to_go_through(pair: tuple[LeanNode, LeanNode]) -> None:
    one, _ = pair
    one.create_publisher(Bool, "said", STREAM)
    one.create_subscription(Bool, "heard", print, STREAM)
    assert list(one.waitables) == []


def test_what_cannot_be_heard_is_said_at_both_ends(pair: tuple[LeanNode, LeanNode]) -> None:
    one, other = pair
    one.create_subscription(Bool, "/reliable", print, STREAM)
    one.create_subscription(Bool, "/latched", print, LATCHED)
    one.create_subscription(Bool, "/fits", print, SENSOR)
    other.create_publisher(Bool, "/reliable", SENSOR)
    other.create_publisher(Bool, "/latched", STREAM)
    other.create_publisher(Bool, "/fits", STREAM)
    heard, sent = said_by(one, 2), said_by(other, 2)
    assert heard == sent
    latched, reliable = heard
    assert latched.startswith("/latched: nothing of /other reaches /arm/one, ")
    assert "transient local" in latched and "durability" not in reliable
    assert reliable.startswith("/reliable: nothing of /other reaches /arm/one, ")
    assert "Best effort publisher and reliable subscription" in reliable
