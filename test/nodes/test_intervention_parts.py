"""The intervention node's parts, with a stand-in for the node that owns their topics."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import Twist
from rclpy.clock import Clock
from sensor_msgs.msg import Joy

from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.intervention.device import Device
from vla_rl_nodes.intervention.edges import Edge, Edges
from vla_rl_nodes.intervention.make import make_moves
from vla_rl_nodes.intervention.reference import ReferenceReader
from vla_rl_nodes.intervention.session import Session
from vla_rl_nodes.intervention.settings import load_device
from vla_rl_nodes.nodes.clocks import instant
from vla_rl_nodes.nodes.complaints import Complaints
from vla_rl_nodes.nodes.event import Event, to_message
from vla_rl_nodes.nodes.intervention_devices import DeviceTopics
from vla_rl_nodes.nodes.intervention_filter import FRESH_NS, FilterSays
from vla_rl_nodes.nodes.intervention_reports import ALIVE_NS, InterventionReports
from vla_rl_nodes.nodes.vector import vector_message
from vla_rl_nodes.robots.load import load_robot
from vla_rl_nodes.safety.state import Instant


@dataclass
class Sender:
    """Who publishes a topic, as the middleware says."""

    topic_type: str


@dataclass
class Owner:
    """A node that only remembers what is subscribed and published."""

    heard: dict[str, Callable[[Any], None]] = field(default_factory=dict)
    sent: dict[str, list[Any]] = field(default_factory=dict)
    senders: dict[str, list[Sender]] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)
    clock: Clock = field(default_factory=Clock)

    def create_subscription(self, kind: Any, topic: str, take: Any, profile: Any) -> None:
        self.heard[topic] = take

    def create_publisher(self, kind: Any, topic: str, profile: Any) -> Any:
        self.sent[topic] = []
        owner = self

        class Publisher:
            def publish(self, message: Any) -> None:
                owner.sent[topic].append(message)

        return Publisher()

    def get_publishers_info_by_topic(self, topic: str) -> list[Sender]:
        return self.senders.get(topic, [])

    def get_clock(self) -> Clock:
        return self.clock

    def warning(self, line: str) -> None:
        self.lines.append(line)


def later(now: Instant, ns: int) -> Instant:
    return Instant(now.ros_ns + ns, now.steady_ns + ns)


def test_what_the_filter_says(contract: Contract) -> None:
    owner, turned, others = Owner(), [], []
    says = FilterSays(
        owner, ReferenceReader(contract, load_robot("fr3")), threading.Lock(), turned.append,
        others.append, Complaints(owner),
    )  # fmt: skip

    def status(source: str, stamp: int, executed: str = "", reasons: str = "") -> None:
        values = {"source": source, "command_stamp": executed, "reasons": reasons}
        event = Event("safety_filter", "armed", values, stamp_ns=stamp)
        owner.heard["safety/status"](to_message(event))

    now = instant(owner)
    status("policy", now.ros_ns, "77")
    assert others == [77] and not says.listens(now)
    says.ask_anew(now)
    status("intervention", now.ros_ns - 1)  # said before the person took over
    assert not turned and not says.listens(now)
    status("intervention", now.ros_ns + 5)
    status("intervention", now.ros_ns + 9, str(now.ros_ns + 9))
    assert turned == [now.ros_ns + 5] and others == [77]
    now = instant(owner)
    assert says.listens(now) and not says.listens(later(now, FRESH_NS))
    for reasons, waits in (("paused", True), ("workspace", False), ("ik_failed,deadman", True)):
        status("intervention", now.ros_ns, reasons=reasons)
        assert says.waits is waits
    status("", now.ros_ns)
    assert not says.listens(now) and not says.waits

    names, values = contract.action.names, [0.4, 0.0, 0.3, 0.1, 0.05]
    assert says.reference(now) is None
    owner.heard["safety/reference"](vector_message(1, names, values))
    now = instant(owner)
    found = says.reference(now)
    assert found is not None and found.opening == 0.05
    assert says.reference(later(now, FRESH_NS + 1)) is None
    owner.heard["safety/reference"](vector_message(1, names[1:], values[1:]))
    assert owner.lines and "'tool_x' is not among its names" in owner.lines[0]


def test_a_status_is_told_on_change_with_an_edge_and_five_times_a_second() -> None:
    owner, contract = Owner(), load_contract("franka_pick")
    device, edges = Device(load_device("spacemouse")), Edges()
    session = Session(contract, make_moves(contract, load_robot("fr3")), [device], device)
    reports = InterventionReports(owner, [device], session, edges)
    sent: list[DiagnosticArray] = owner.sent["intervention/status"]
    now = instant(owner)
    for ns in (0, 1, ALIVE_NS, ALIVE_NS + 1):
        reports.tell(later(now, ns), "")
    assert len(sent) == 2
    edges.episode("one")
    edge = edges.commanded(123)
    assert edge == Edge("start", 123, "one")
    reports.tell(later(now, ALIVE_NS + 2), "one", edge)
    values = {pair.key: pair.value for pair in sent[-1].status[0].values}
    assert values["edge"] == "start" and values["edges"] == "1" and values["episode_id"] == "one"
    assert sent[-1].header.stamp.nanosec == 123
    reports.tell(later(now, ALIVE_NS + 3), "one")
    assert len(sent) == 3  # that one said it all
    session.take_over(now)
    reports.tell(later(now, ALIVE_NS + 4), "one")
    values = {pair.key: pair.value for pair in sent[-1].status[0].values}
    assert sent[-1].status[0].message == "active" and values["device"] == "spacemouse"
    assert values["edge"] == "" and values["in_command"] == "1"
    assert values["devices"] == "spacemouse: nothing was heard of it"


def test_what_is_used_of_a_device_is_published_once() -> None:
    owner, contract = Owner(), load_contract("franka_pick")
    device = Device(load_device("spacemouse_joy"))
    session = Session(contract, make_moves(contract, load_robot("fr3")), [device], device)
    reports = InterventionReports(owner, [device], session, Edges())
    now = instant(owner)
    for pushed in (0.0, 0.68):
        now = later(now, 10_000_000)
        message = Joy(axes=[pushed] + [0.0] * 5, buttons=[0, 1])
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(now.ros_ns, 10**9)
        assert device.hear(message, now) == ""
        session.look(now, None)
    reports.used(later(now, 4_000_000))
    reports.used(later(now, 5_000_000))
    (message,) = owner.sent["intervention/device"]
    assert message.header.frame_id == "spacemouse_joy"
    assert list(message.name) == ["x", "y", "z", "rx", "ry", "rz", "button_0", "button_1"]
    assert list(message.position) == pytest.approx([1.0, 0, 0, 0, 0, 0, 0, 1], abs=1e-6)
    reports.tell(now, "")
    status = owner.sent["intervention/status"][-1].status[0]
    assert {pair.key: pair.value for pair in status.values}["latency_ms"] == "4.000"


def test_a_topic_of_another_type_is_told_and_counts_as_a_loss() -> None:
    owner, device = Owner(), Device(load_device("spacemouse"))
    topics = DeviceTopics(
        owner, [device], lambda take, message: take(message, instant(owner)), Complaints(owner)
    )
    owner.heard["spacenav/twist"](Twist())
    assert device.problem == ""
    owner.senders = {
        "spacenav/twist": [Sender("geometry_msgs/msg/Twist")],
        "spacenav/joy": [Sender("sensor_msgs/msg/Imu")],
    }
    topics.look()
    assert device.problem == "" and not owner.lines
    topics.look()
    assert device.problem == "has type sensor_msgs/msg/Imu, not sensor_msgs/msg/Joy"
    assert owner.lines == [
        "spacenav/joy: has type sensor_msgs/msg/Imu, not sensor_msgs/msg/Joy; correct one of the"
        " two"
    ]
