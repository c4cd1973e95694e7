"""Where a chunk of actions leads, as poses in the robot's base frame."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pinocchio
from numpy.typing import NDArray

from vla_rl_nodes.contract.spec import JOINT_KINDS, Contract
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.robots.kinematics import Kinematics, Pose
from vla_rl_nodes.robots.model import Robot
from vla_rl_nodes.robots.tool_frame import rotation_from_yaw, yaw_from_rotation
from vla_rl_nodes.safety.targets.pose_axes import PoseAxes, ToolPose

Array = NDArray[np.float64]

_POINT = ("tool_x", "tool_y", "tool_z")
_QUATERNION = ("tool_qx", "tool_qy", "tool_qz", "tool_qw")


class Poses(NamedTuple):
    """n poses in the base frame: positions [n, 3], m, and unit quaternions x y z w [n, 4]."""

    positions: Array
    quaternions: Array


class PlannedPath:
    """Follows a chunk's actions from the reference that they begin at.

    The limits of the safety filter are not looked at: this is what the policy asks for.

    Args:
        contract: kind of action, axes and rate.
        robot: that the contract names.
        kinematics: of that robot.

    Raises:
        InputError: a contract for no robot, or of a tool that the robot does not have.
    """

    def __init__(self, contract: Contract, robot: Robot, kinematics: Kinematics) -> None:
        action = contract.action
        if action.kind == "plane_delta":
            raise InputError(
                f"contract {contract.name}", "moves no robot", "give the contract of a robot"
            )
        if action.kind != "base_velocity" and not kinematics.has_tool:
            raise InputError(
                f"contract {contract.name}", f"moves a tool that {robot.name} does not have",
                "name a tool_frame in the robot's description",
            )  # fmt: skip
        self._kind, self._kinematics = action.kind, kinematics
        self._joints = len(robot.joints)
        self._axes = PoseAxes(action, robot.base_frame)
        self._period = contract.period_ns / 1e9
        self.reference_names = _reference_names(action.kind, robot)

    def poses(self, reference: Array, chunk: Array) -> Poses:
        """The pose before the first action, and the one behind each.

        Args:
            reference: where the motion is sent before the first action, in the order of
                ``reference_names``; empty for a mobile base, whose own pose is where it begins.
            chunk: [H, A], actions in the contract's units.

        Returns:
            H + 1 poses.
        """
        if self._kind == "base_velocity":
            return self._driven(chunk)
        if self._kind in JOINT_KINDS:
            moves = chunk[:, : self._joints]
            rows = reference + np.cumsum(moves, axis=0) if self._kind == "joint_delta" else moves
            return _of([self._kinematics.fk(q) for q in np.vstack([reference, rows])])
        pose = self._tool(reference)
        found = [Pose(pose.position, pose.rotation)]
        for action in chunk:
            pose = self._axes.moved(pose, action[: 3 + self._axes.turns])
            found.append(Pose(pose.position, pose.rotation))
        return _of(found)

    def _tool(self, reference: Array) -> ToolPose:
        position = reference[:3]
        if self._axes.downward:
            yaw = float(reference[3])
            return ToolPose(position, rotation_from_yaw(yaw), yaw)
        rotation = pinocchio.XYZQUATToSE3(reference).rotation
        return ToolPose(position, rotation, yaw_from_rotation(rotation))

    def _driven(self, chunk: Array) -> Poses:
        """The arcs that a base drives, its velocities constant over each period."""
        place = pinocchio.SE3.Identity()
        found = [Pose(place.translation.copy(), place.rotation.copy())]
        for vx, vy, wz in chunk[:, :3]:
            twist = pinocchio.Motion(np.array([vx, vy, 0.0, 0.0, 0.0, wz]) * self._period)
            place = place * pinocchio.exp6(twist)
            found.append(Pose(place.translation.copy(), place.rotation.copy()))
        return _of(found)


def _reference_names(kind: str, robot: Robot) -> tuple[str, ...]:
    """What is read of ``safety/reference`` for a kind of action."""
    if kind == "base_velocity":
        return ()
    if kind in JOINT_KINDS:
        return robot.joints
    return (*_POINT, "tool_yaw") if kind == "tool_delta" else (*_POINT, *_QUATERNION)


def _of(poses: list[Pose]) -> Poses:
    rows = [pinocchio.SE3ToXYZQUAT(pinocchio.SE3(p.rotation, p.position)) for p in poses]
    whole = np.array(rows)
    return Poses(whole[:, :3], whole[:, 3:])
