"""The topics of the intervention's devices: subscribed, handed on, and checked for their type."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from geometry_msgs.msg import Twist, TwistStamped
from rclpy.node import Node
from sensor_msgs.msg import JointState, Joy

from vla_rl_nodes.intervention.device import Device
from vla_rl_nodes.intervention.settings import JOINT_STATE, JOY, TWIST, TWIST_STAMPED
from vla_rl_nodes.nodes.complaints import Complaints
from vla_rl_nodes.nodes.qos import SENSOR
from vla_rl_nodes.safety.state import Instant

MESSAGES: dict[str, type[Any]] = {
    TWIST: Twist, TWIST_STAMPED: TwistStamped, JOY: Joy, JOINT_STATE: JointState,
}  # fmt: skip


class DeviceTopics:
    """Subscribes to every device and hands its messages on.

    Args:
        node: owns the subscriptions.
        devices: their settings name the topics.
        heard: called in the executor's thread with a device, what takes a message of it, and the
            message; gives back what was wrong with it.
        complaints: gets one line for each kind of bad message.
    """

    def __init__(
        self,
        node: Node,
        devices: Sequence[Device],
        heard: Callable[[Callable[[Any, Instant], str], Any], str],
        complaints: Complaints,
    ) -> None:
        self._node, self._heard, self._complaints = node, heard, complaints
        self._expected: list[tuple[Device, str, str]] = []
        for device in devices:
            settings = device.settings
            self._listen(device, settings.topic, settings.type, device.hear)
            if settings.buttons_topic is not None:
                self._listen(device, settings.buttons_topic, JOY, device.hear_buttons)
        self._looked = 0

    def _listen(
        self, device: Device, topic: str, kind: str, take: Callable[[Any, Instant], str]
    ) -> None:
        self._expected.append((device, topic, kind))
        self._node.create_subscription(
            MESSAGES[kind], topic, partial(self._hear, topic, take), SENSOR
        )

    def _hear(self, topic: str, take: Callable[[Any, Instant], str], message: Any) -> None:
        wrong = self._heard(take, message)
        if wrong:
            self._complaints.say(f"{topic}: {wrong}", kind=f"{topic} {wrong[:24]}")

    def look(self) -> None:
        """Looks whether the next topic is published with another type: nothing would be heard."""
        device, topic, kind = self._expected[self._looked % len(self._expected)]
        self._looked += 1
        for sender in self._node.get_publishers_info_by_topic(topic):
            if sender.topic_type != kind:
                wrong = f"has type {sender.topic_type}, not {kind}; correct one of the two"
                self._hear(topic, partial(_refused, device, wrong), None)


def _refused(device: Device, wrong: str, message: Any, now: Instant) -> str:
    return device.refuse(wrong, now)
