"""What the reset node sees of its topics, and for how long."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy")

from rclpy.serialization import serialize_message
from sensor_msgs.msg import JointState

from vla_rl_nodes.nodes import reset_inputs
from vla_rl_nodes.nodes.event import Event, to_message
from vla_rl_nodes.nodes.reset_inputs import ResetInputs
from vla_rl_nodes.nodes.vector import vector_message
from vla_rl_nodes.robots.load import load_robot

FR3 = load_robot("fr3")
MS = 1_000_000


class Owner:
    """Stands in for the node that owns the subscriptions."""

    def __init__(self) -> None:
        self.hear: dict[str, Callable[[Any], None]] = {}

    def create_subscription(
        self, kind: Any, topic: str, hear: Callable[[Any], None], profile: Any, raw: bool = False
    ) -> None:
        self.hear[topic] = (lambda message: hear(serialize_message(message))) if raw else hear


class Clock:
    """The monotonic clock, by hand."""

    def __init__(self) -> None:
        self.now = 10_000 * MS

    def monotonic_ns(self) -> int:
        return self.now


class Listener:
    """The inputs, and what they hear."""

    def __init__(self, clock: Clock) -> None:
        self.clock, self.owner, self.said = clock, Owner(), Said()
        self.inputs = ResetInputs(self.owner, FR3, self.said, 0.5)  # type: ignore[arg-type]

    def joints(self, q: np.ndarray, **changed: Any) -> None:
        message = vector_message(self.clock.now, FR3.joints, q)
        for name, value in changed.items():
            setattr(message, name, value)
        self.owner.hear[FR3.topics.joint_states](message)

    def filter(self, state: str, source: str, reasons: str = "", status: str = "0") -> None:
        values = {"source": source, "reasons": reasons, "status": status}
        self.owner.hear["safety/status"](to_message(Event("safety_filter", state, values)))


class Said(list[str]):
    """The complaints."""

    def say(self, line: object, kind: str | None = None) -> None:
        self.append(str(line))


@pytest.fixture
def listener(monkeypatch: pytest.MonkeyPatch) -> Listener:
    clock = Clock()
    monkeypatch.setattr(reset_inputs, "time", clock)
    return Listener(clock)


def test_nothing_was_heard_yet(listener: Listener) -> None:
    seen = listener.inputs.seen()
    assert seen.joints is None and seen.width is None
    assert seen.filter is None and seen.state is None
    assert listener.inputs.state_names() == ()


def test_the_speed_is_known_from_the_second_measurement_on(listener: Listener) -> None:
    listener.joints(FR3.home)
    assert listener.inputs.seen().speed == np.inf
    listener.clock.now += 50 * MS
    moved = FR3.home.copy()
    moved[2] += 0.01
    listener.joints(moved)
    seen = listener.inputs.seen()
    assert seen.joints is not None and np.array_equal(seen.joints, moved)
    assert seen.speed == pytest.approx(0.2)
    listener.clock.now += 50 * MS
    listener.joints(moved)
    assert listener.inputs.seen().speed == pytest.approx(0.0)


def test_what_has_been_silent_is_not_shown(listener: Listener) -> None:
    listener.joints(FR3.home)
    listener.filter("armed", "reset")
    listener.clock.now += 501 * MS
    seen = listener.inputs.seen()
    assert seen.joints is None and seen.filter is None


def test_reasons_between_two_looks_are_not_lost_nor_told_twice(listener: Listener) -> None:
    listener.filter("armed", "reset", "collision")
    listener.filter("armed", "reset", "workspace,tool_speed")
    listener.filter("armed", "reset")
    said = listener.inputs.seen().filter
    assert said is not None and said.ours
    assert said.reasons == {"collision", "workspace", "tool_speed"}
    again = listener.inputs.seen().filter
    assert again is not None and again.reasons == frozenset()


def test_a_bad_measurement_is_none_and_is_complained_of(listener: Listener) -> None:
    listener.joints(np.full(7, np.nan))
    assert listener.inputs.seen().joints is None
    listener.joints(FR3.home, name=["a"] * 7)
    assert listener.inputs.seen().joints is None
    assert len(listener.said) == 2


def test_the_gripper_and_the_simulator(listener: Listener) -> None:
    assert FR3.gripper is not None and FR3.topics.gripper_joint_states is not None
    fingers = vector_message(0, FR3.gripper.joints, [0.02, 0.021])
    listener.owner.hear[FR3.topics.gripper_joint_states](fingers)
    parts = ("x", "y", "z", "qw", "qx", "qy", "qz")
    pose = [0.5, 0.1, 0.02, 1.0, 0.0, 0.0, 0.0]
    listener.owner.hear["sim/state"](
        JointState(name=[f"cube_{part}" for part in parts], position=pose)
    )
    seen = listener.inputs.seen()
    assert seen.width == pytest.approx(0.041)
    found = seen.pose("cube")
    assert found is not None and found.tolist() == pose
    assert seen.pose("ball") is None
    assert listener.inputs.state_names()[0] == "cube_x"


def test_a_latched_emergency_stop_is_seen_whatever_the_state(listener: Listener) -> None:
    listener.filter("disarmed", "", "", "21")
    said = listener.inputs.seen().filter
    assert said is not None and said.latched
    listener.filter("disarmed", "", "e_stop", "16")
    said = listener.inputs.seen().filter
    assert said is not None and not said.latched


def test_where_the_gripper_was_sent_is_what_the_filter_said_lately(listener: Listener) -> None:
    assert listener.inputs.seen().opening is None
    names = ["tool_x", "gripper_width"]
    listener.owner.hear["safety/reference"](vector_message(listener.clock.now, names, [0.4, 0.0]))
    assert listener.inputs.seen().opening == 0.0
    listener.clock.now += 501 * MS
    assert listener.inputs.seen().opening is None
    listener.owner.hear["safety/reference"](vector_message(1, names[:1], [0.4]))
    assert listener.inputs.seen().opening is None and not listener.said
