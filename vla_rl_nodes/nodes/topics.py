"""What an episode's bag holds: every topic of the graph, with its type and how it is offered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import TwistStamped, WrenchStamped
from sensor_msgs.msg import CompressedImage, Image, Imu, JointState
from std_msgs.msg import Bool, Float64MultiArray
from trajectory_msgs.msg import JointTrajectory

from vla_rl_nodes.contract.spec import COMPRESSED_IMAGE, Contract
from vla_rl_nodes.robots.model import Robot

Offered = Literal["stream", "sensor", "latched"]


@dataclass(frozen=True)
class Recorded:
    """A topic relative to the robot's namespace, its message class, and its QoS."""

    topic: str
    message: type[Any]
    kind: Offered

    @property
    def type_name(self) -> str:
        """The type as ROS writes it, such as sensor_msgs/msg/Image."""
        package = self.message.__module__.split(".")[0]
        return f"{package}/msg/{self.message.__name__}"


def recorded_topics(
    contract: Contract, robot: Robot, camera_sources: bool = False
) -> list[Recorded]:
    """Everything worth keeping of an episode of this contract on this robot.

    Images are recorded as the policy consumes them, after the contract's crop and resize, or,
    where the contract says so, as the camera sends them.

    Args:
        contract: names the streams.
        robot: names the drivers' topics.
        camera_sources: also the cameras' own images as the drivers publish them: JPEG as it comes
            where the contract's source is compressed, raw elsewhere.
    """
    topics = robot.topics
    found = [
        Recorded(stream.topic, Image if stream.kind == "image" else JointState, "stream")
        for stream in contract.streams
        if stream.source is None or stream.source.record == "observation"
    ]
    for stream in contract.streams:
        if stream.source is not None and (camera_sources or stream.source.record == "source"):
            compressed = stream.source.type == COMPRESSED_IMAGE
            image = CompressedImage if compressed else Image
            found.append(Recorded(stream.source.topic, image, "sensor"))
    for topic, message in (
        (topics.joint_states, JointState),
        (topics.gripper_joint_states, JointState),
        (topics.wrench, WrenchStamped),
        (topics.imu, Imu),
        # Heartbeats; whoever sends them may offer them best effort.
        ("safety/e_stop", Bool),
        ("operator/e_stop", Bool),
        ("safety/deadman", Bool),
    ):
        if topic is not None:
            found.append(Recorded(topic, message, "sensor"))
    for topic, message in (
        (topics.position_command, Float64MultiArray),
        (topics.velocity_command, Float64MultiArray),
        (topics.twist_command, TwistStamped),
        (topics.trajectory_command, JointTrajectory),
        (topics.gripper_command, Float64MultiArray),
        ("policy/chunk", JointTrajectory),
        ("policy/command", JointState),
        ("policy/residual", JointState),
        ("policy/status", DiagnosticArray),
        ("intervention/command", JointState),
        ("intervention/active", Bool),
        ("intervention/device", JointState),
        ("intervention/status", DiagnosticArray),
        ("reset/command", JointState),
        ("reset/joints", JointState),
        ("reset/active", Bool),
        ("reset/executed", JointState),
        ("retry/request", DiagnosticArray),
        ("safety/executed", JointState),
        ("safety/reference", JointState),
        ("safety/status", DiagnosticArray),
        ("reward", JointState),
        ("success", JointState),
        ("progress", JointState),
        ("reward/status", DiagnosticArray),
        ("retry/status", DiagnosticArray),
        ("sim/state", JointState),
        ("sim/status", DiagnosticArray),
    ):
        if topic is not None and topic not in {r.topic for r in found}:
            found.append(Recorded(topic, message, "stream"))
    found += [
        Recorded("episode/state", DiagnosticArray, "latched"),
        Recorded("episode/label", DiagnosticArray, "latched"),
        Recorded("policy/bundle", DiagnosticArray, "latched"),
        Recorded("reset/status", DiagnosticArray, "latched"),
    ]
    return found
