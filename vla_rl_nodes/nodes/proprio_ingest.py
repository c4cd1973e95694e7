"""proprio_ingest: joint states, gripper and wrench in, one stamped state vector out."""

from __future__ import annotations

import sys
from typing import TypeVar

import numpy as np
from geometry_msgs.msg import WrenchStamped
from numpy.typing import NDArray
from sensor_msgs.msg import JointState

from vla_rl_nodes.contract.decode import named_vector, stamp_ns
from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.ingest.buffer import check_stamp
from vla_rl_nodes.ingest.proprio import (
    STATE_TOPIC,
    GripperState,
    check_contract,
    named_velocities,
    quantities,
    state_vector,
)
from vla_rl_nodes.nodes import parameters
from vla_rl_nodes.nodes.complaints import Complaints
from vla_rl_nodes.nodes.lean_node import LeanNode
from vla_rl_nodes.nodes.qos import SENSOR, STREAM
from vla_rl_nodes.nodes.spin import spin
from vla_rl_nodes.nodes.vector import vector_message
from vla_rl_nodes.robots.kinematics import Kinematics
from vla_rl_nodes.robots.load import load_robot

STALE_NS = 100_000_000
Value = TypeVar("Value")


class ProprioIngest(LeanNode):
    """Publishes ``observation/state`` with the capture stamp of the arm's joint states."""

    def __init__(self) -> None:
        super().__init__("proprio_ingest")
        contract = load_contract(
            parameters.text(self, "contract", "franka_pick", "Contract name or path.")
        )
        rate = parameters.number(self, "rate_hz", 100.0, 1.0, 1000.0, "Most states a second.")
        # Half a driver period of slack, else a 250 Hz driver would be thinned to 83 Hz for 100.
        self._spacing_ns = round(1e9 / rate) - 2_500_000
        robot = load_robot(contract.robot)
        self._joints, self._gripper_joints = robot.joints, robot.gripper
        self._kinematics = Kinematics(robot)
        self._complaints = Complaints(self.get_logger())
        self._last_ns = 0
        self._gripper: tuple[int, GripperState] | None = None
        self._wrench: tuple[int, NDArray[np.float64]] | None = None
        topics = robot.topics
        self._topics = topics
        names = quantities(robot, robot.gripper is not None, topics.wrench is not None)
        check_contract(contract, names)
        self._names = list(names)
        self._publisher = self.create_publisher(JointState, STATE_TOPIC, STREAM)
        if robot.gripper is not None and topics.gripper_joint_states is not None:
            self.create_subscription(
                JointState, topics.gripper_joint_states, self._hear_gripper, SENSOR
            )
        if topics.wrench is not None:
            self.create_subscription(WrenchStamped, topics.wrench, self._hear_wrench, SENSOR)
        self.create_subscription(JointState, topics.joint_states, self._hear_joints, SENSOR)

    def _say(self, error: InputError) -> None:
        self._complaints.say(error, kind=f"{error.place} {error.remedy}")

    def _stamp(self, topic: str, message: JointState | WrenchStamped) -> int:
        stamp = stamp_ns(message)
        check_stamp(topic, stamp, self.get_clock().now().nanoseconds, STALE_NS)
        return stamp

    def _hear_gripper(self, message: JointState) -> None:
        topic = self._topics.gripper_joint_states or ""
        assert self._gripper_joints is not None
        try:
            stamp = self._stamp(topic, message)
            fingers = named_vector(message, self._gripper_joints.joints, topic)
            speeds = named_velocities(message, self._gripper_joints.joints, topic)
        except InputError as error:
            self._say(error)
            return
        self._gripper = (stamp, GripperState(float(fingers.sum()), float(speeds.sum())))

    def _hear_wrench(self, message: WrenchStamped) -> None:
        topic = self._topics.wrench or ""
        force, torque = message.wrench.force, message.wrench.torque
        values = np.array([force.x, force.y, force.z, torque.x, torque.y, torque.z])
        try:
            stamp = self._stamp(topic, message)
            if not np.isfinite(values).all():
                raise InputError(topic, "is not finite", "check the sensor")
        except InputError as error:
            self._say(error)
            return
        self._wrench = (stamp, values)

    def _hear_joints(self, message: JointState) -> None:
        topic = self._topics.joint_states
        try:
            stamp = self._stamp(topic, message)
            if 0 <= stamp - self._last_ns < self._spacing_ns:
                return
            if stamp < self._last_ns:
                raise InputError(topic, "is older than the last one", "check for two publishers")
            position = named_vector(message, self._joints, topic)
            velocity = named_velocities(message, self._joints, topic)
            gripper = wrench = None
            if self._gripper_joints is not None:
                gripper = self._fresh(self._gripper, stamp, self._topics.gripper_joint_states)
            if self._topics.wrench is not None:
                wrench = self._fresh(self._wrench, stamp, self._topics.wrench)
        except InputError as error:
            self._say(error)
            return
        self._last_ns = stamp
        values = state_vector(self._kinematics, position, velocity, gripper, wrench)
        self._publisher.publish(vector_message(stamp, self._names, values))

    @staticmethod
    def _fresh(held: tuple[int, Value] | None, stamp: int, topic: str | None) -> Value:
        if held is None or stamp - held[0] > STALE_NS:
            raise InputError(
                topic or "", "has been silent, so no state is published", "check its publisher"
            )
        return held[1]


def main(args: list[str] | None = None) -> int:
    """Entry point."""
    return spin(ProprioIngest, args, realtime_priority=10)


if __name__ == "__main__":
    sys.exit(main())
