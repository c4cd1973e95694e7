"""A process of its own that publishes what a robot has and its simulation lacks.

Noise as camera images (raw, or PNG, which loses nothing), rewards that are no round numbers; and
for a robot without a tool also its IMU at rest and the state of its joints, which
``proprio_ingest`` gives for arms only.
"""

from __future__ import annotations

import io
import sys
from array import array
from typing import Any

import numpy as np
import rclpy
from PIL import Image as Picture
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image, Imu, JointState

from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.contract.spec import COMPRESSED_IMAGE
from vla_rl_nodes.nodes.qos import SENSOR
from vla_rl_nodes.robots.load import load_robot

HZ = {"camera": 25, "reward": 90, "imu": 150}
STATE_SPACING_NS = 8_000_000


class Publisher:
    """Everything on timers of one node.

    Args:
        node: in the robot's namespace.
        contract_path: whose camera sources are played.
    """

    def __init__(self, node: Any, contract_path: str) -> None:
        self._node = node
        self._contract = load_contract(contract_path)
        self._robot = load_robot(self._contract.robot)
        self._random = np.random.default_rng(7)
        self._last_ns = 0
        deep = QoSProfile(
            history=HistoryPolicy.KEEP_LAST, depth=100, reliability=ReliabilityPolicy.RELIABLE
        )
        self._reward = node.create_publisher(JointState, "reward", deep)
        node.create_timer(1 / HZ["reward"], self._send_reward)
        self._cameras = []
        for stream in self._contract.streams:
            if stream.source is not None and self._contract.robot != "fr3":  # that one is rendered
                kind = CompressedImage if stream.source.type == COMPRESSED_IMAGE else Image
                offer = node.create_publisher(kind, stream.source.topic, SENSOR)
                self._cameras.append((stream.source, offer))
        node.create_timer(1 / HZ["camera"], self._send_images)
        if self._robot.floating_base:
            self._imu = node.create_publisher(Imu, self._robot.topics.imu, SENSOR)
            node.create_timer(1 / HZ["imu"], self._send_imu)
            self._state = node.create_publisher(JointState, "observation/state", deep)
            node.create_subscription(
                JointState, self._robot.topics.joint_states, self._pass_joints, SENSOR
            )

    def _stamped(self, message: Any) -> Any:
        message.header.stamp = self._node.get_clock().now().to_msg()
        return message

    def _send_reward(self) -> None:
        message = self._stamped(JointState(name=["success", "reward"]))
        message.position = [0.0, float(self._random.normal())]
        message.header.frame_id = "test/noise"
        self._reward.publish(message)

    def _send_images(self) -> None:
        for source, publisher in self._cameras:
            shape = (source.height, source.width, 3)
            pixels = self._random.integers(0, 256, size=shape, dtype=np.uint8)
            if source.type == COMPRESSED_IMAGE:
                file = io.BytesIO()
                Picture.fromarray(pixels).save(file, format="PNG")
                message = CompressedImage(format="png")
                message.data = array("B", file.getvalue())
            else:
                message = Image(
                    height=source.height, width=source.width, encoding=source.encoding,
                    step=3 * source.width,
                )  # fmt: skip
                message.data = array("B", pixels.tobytes())
            publisher.publish(self._stamped(message))

    def _send_imu(self) -> None:
        message = self._stamped(Imu())
        message.orientation.w = 1.0
        message.header.frame_id = self._robot.base_frame
        self._imu.publish(message)

    def _pass_joints(self, heard: JointState) -> None:
        stamp = heard.header.stamp.sec * 10**9 + heard.header.stamp.nanosec
        if stamp - self._last_ns < STATE_SPACING_NS:
            return
        self._last_ns = stamp
        names = [name.lower() for name in heard.name]
        message = JointState(
            name=names + [f"{name}_velocity" for name in names],
            position=[*heard.position, *heard.velocity],
        )
        message.header = heard.header
        self._state.publish(message)


def main() -> int:
    rclpy.init(args=[])
    node = rclpy.create_node("parity_publisher", namespace=sys.argv[1])
    Publisher(node, sys.argv[2])
    try:
        rclpy.spin(node)
    except (KeyboardInterrupt, rclpy.executors.ExternalShutdownException):
        return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
