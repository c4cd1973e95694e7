"""motion_paths: the planned and the executed way of the robot, as paths for rviz."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Sequence

import numpy as np
from geometry_msgs.msg import PoseStamped
from nav_msgs.msg import Path
from numpy.typing import NDArray
from sensor_msgs.msg import JointState
from trajectory_msgs.msg import JointTrajectory

from vla_rl_nodes.contract.decode import named_vector, stamp_ns
from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.ingest.buffer import Sample, StampedBuffer
from vla_rl_nodes.nodes import parameters
from vla_rl_nodes.nodes.complaints import Complaints
from vla_rl_nodes.nodes.event import time_message
from vla_rl_nodes.nodes.lean_node import LeanNode
from vla_rl_nodes.nodes.qos import LATCHED, SENSOR, STREAM
from vla_rl_nodes.nodes.spin import spin
from vla_rl_nodes.robots.kinematics import Kinematics
from vla_rl_nodes.robots.load import load_robot
from vla_rl_nodes.view.executed import ExecutedPath
from vla_rl_nodes.view.planned import PlannedPath, Poses

Array = NDArray[np.float64]

HZ = 10  # most paths a second
SAMPLE_NS = 18_000_000  # between two joint states that are looked at: some 50 a second
REFERENCE_AGE_NS = 500_000_000
SHOWN_NS = 1_000_000_000  # a plan is taken away so long after its last action
SPACING_M = 0.002
NOWHERE = Poses(np.empty((0, 3)), np.empty((0, 4)))


class MotionPaths(LeanNode):
    """Publishes ``view/planned`` and ``view/executed`` in the robot's base frame.

    The planned path begins at the safety filter's reference at the chunk's own stamp, so that it
    is where the policy meant to go when it was asked, and not shifted by what was executed since.
    Its header has that stamp, the executed path's the stamp of its newest point. Both are latched:
    whoever starts to look later sees the last ones.
    """

    def __init__(self) -> None:
        super().__init__("motion_paths")
        contract = load_contract(
            parameters.text(self, "contract", "franka_pick", "Contract name or path.")
        )
        seconds = parameters.number(
            self, "seconds", 10.0, 0.5, 120.0, "How much of the executed way is shown, in seconds."
        )
        robot = load_robot(contract.robot)
        self._names, self._length = contract.action.names, contract.action.chunk_length
        self._period_ns, self._frame = contract.period_ns, robot.base_frame
        self._joint_names, self._topic = robot.joints, robot.topics.joint_states
        self._kinematics = Kinematics(robot)
        self._planned = PlannedPath(contract, robot, self._kinematics)
        self._executed = ExecutedPath(seconds, SPACING_M)
        self._complaints = Complaints(self.get_logger())
        self._references = StampedBuffer("safety/reference", capacity=128)
        self._chunk: tuple[int, Array] | None = None
        self._shown_until_ns = 0  # when the plan that is shown is out of date; 0 while none is
        self._joints: deque[tuple[int, Array]] = deque(maxlen=256)
        self._last_ns = 0
        self._plan_path = self.create_publisher(Path, "view/planned", LATCHED)
        self._way_path = self.create_publisher(Path, "view/executed", LATCHED)
        self.create_subscription(JointTrajectory, "policy/chunk", self._hear_chunk, STREAM)
        if self._planned.reference_names:
            self.create_subscription(JointState, "safety/reference", self._hear_reference, STREAM)
        if self._kinematics.has_tool:
            self.create_subscription(JointState, self._topic, self._hear_joints, SENSOR)
        self.create_timer(1.0 / HZ, self._show)

    def _hear_reference(self, message: JointState) -> None:
        try:
            values = named_vector(message, self._planned.reference_names, "safety/reference")
            now = self.get_clock().now().nanoseconds
            self._references.add(Sample(stamp_ns(message), values), now)
        except InputError as error:
            self._complaints.say(error, kind=f"{error.place} {error.remedy}")

    def _hear_chunk(self, message: JointTrajectory) -> None:
        given = list(message.joint_names)
        rows = [list(point.positions) for point in message.points]
        fits = set(given) == set(self._names) and len(given) == len(self._names)
        fits = fits and len(rows) == self._length
        if not fits or any(len(row) != len(given) for row in rows):
            self._complaints.say(
                f"policy/chunk: is no chunk of {self._length} actions of"
                f" {', '.join(self._names)}; check who sends it"
            )
            return
        chunk = np.array(rows)[:, [given.index(name) for name in self._names]]
        if not np.isfinite(chunk).all():
            self._complaints.say("policy/chunk: is not finite; check who sends it")
            return
        self._chunk = stamp_ns(message), chunk

    def _hear_joints(self, message: JointState) -> None:
        stamp = stamp_ns(message)
        if 0 <= stamp - self._last_ns < SAMPLE_NS:
            return
        try:
            self._joints.append((stamp, named_vector(message, self._joint_names, self._topic)))
        except InputError as error:
            self._complaints.say(error, kind=f"{error.place} {error.remedy}")
            return
        self._last_ns = stamp

    def _show(self) -> None:
        self._show_plan()
        if not self._joints:
            return
        while self._joints:
            stamp, q = self._joints.popleft()
            self._executed.add(stamp, self._kinematics.fk(q).position)
        stamps, points = self._executed.points()
        level = np.tile([0.0, 0.0, 0.0, 1.0], (len(points), 1))
        self._way_path.publish(self._path(stamps[-1], stamps, Poses(points, level)))

    def _show_plan(self) -> None:
        chunk, self._chunk = self._chunk, None
        now = self.get_clock().now().nanoseconds
        if chunk is None:
            if self._shown_until_ns and now > self._shown_until_ns:
                self._shown_until_ns = 0
                self._plan_path.publish(self._path(now, [], NOWHERE))
            return
        stamp, actions = chunk
        reference = self._reference(stamp)
        if reference is None:
            self._complaints.say(
                "policy/chunk: there is no safety/reference of its time, so it is not shown; check"
                " that the safety filter is armed"
            )
            return
        stamps = [stamp + number * self._period_ns for number in range(len(actions) + 1)]
        poses = self._planned.poses(reference, actions)
        self._plan_path.publish(self._path(stamp, stamps, poses))
        self._shown_until_ns = stamps[-1] + SHOWN_NS

    def _reference(self, at_ns: int) -> Array | None:
        if not self._planned.reference_names:
            return np.empty(0)
        sample = self._references.newest(at_ns, REFERENCE_AGE_NS)
        return None if sample is None else sample.value

    def _path(self, stamp: int, stamps: Sequence[int], poses: Poses) -> Path:
        path = Path()
        path.header.frame_id, path.header.stamp = self._frame, time_message(stamp)
        for at, position, turn in zip(stamps, poses.positions, poses.quaternions, strict=True):
            pose = PoseStamped()
            pose.header.frame_id, pose.header.stamp = self._frame, time_message(at)
            where, turned = pose.pose.position, pose.pose.orientation
            where.x, where.y, where.z = map(float, position)
            turned.x, turned.y, turned.z, turned.w = map(float, turn)
            path.poses.append(pose)
        return path


def main(args: list[str] | None = None) -> int:
    """Entry point."""
    return spin(MotionPaths, args)


if __name__ == "__main__":
    sys.exit(main())
