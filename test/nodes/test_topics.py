"""A bag holds who was in command and what was switched, and reads it however it is offered."""

from __future__ import annotations

import pytest

from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.nodes.topics import Recorded, recorded_topics
from vla_rl_nodes.robots.load import load_robot
from vla_rl_nodes.robots.model import Robot

PICK = load_contract("franka_pick")


def recorded(robot: Robot) -> dict[str, Recorded]:
    found = recorded_topics(PICK, robot)
    assert len({r.topic for r in found}) == len(found)
    return {r.topic: r for r in found}


@pytest.mark.parametrize(
    ("topic", "kind", "type_name"),
    [
        ("intervention/command", "stream", "sensor_msgs/msg/JointState"),
        ("intervention/active", "stream", "std_msgs/msg/Bool"),
        ("reset/command", "stream", "sensor_msgs/msg/JointState"),
        ("reset/active", "stream", "std_msgs/msg/Bool"),
        # Heartbeats may be offered best effort: only a best-effort reader hears those.
        ("safety/e_stop", "sensor", "std_msgs/msg/Bool"),
        ("safety/deadman", "sensor", "std_msgs/msg/Bool"),
    ],
)
def test_switches_and_sources_are_recorded(topic: str, kind: str, type_name: str) -> None:
    found = recorded(load_robot("fr3"))[topic]
    assert (found.kind, found.type_name) == (kind, type_name)


def test_every_controller_that_a_robot_has_is_recorded() -> None:
    robot = load_robot("fr3")
    names = {"velocity_command": "velocity/commands", "twist_command": "cmd_vel"}
    topics = recorded(robot.model_copy(update={"topics": robot.topics.model_copy(update=names)}))
    assert topics["velocity/commands"].type_name == "std_msgs/msg/Float64MultiArray"
    assert topics["cmd_vel"].type_name == "geometry_msgs/msg/TwistStamped"
    assert not set(names.values()) & set(recorded(robot))
