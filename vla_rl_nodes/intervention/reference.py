"""Where the safety filter has let the robot be sent: what a person's command goes on from."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import pinocchio
from numpy.typing import NDArray

from vla_rl_nodes.contract.decode import named_vector
from vla_rl_nodes.contract.spec import JOINT_KINDS, Contract
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.robots.model import Robot
from vla_rl_nodes.robots.tool_frame import rotation_from_yaw, yaw_from_rotation
from vla_rl_nodes.safety.targets.pose_axes import ToolPose

Array = NDArray[np.float64]

TOPIC = "safety/reference"
LENGTH_TOLERANCE = 1e-3  # of a quaternion


class Reference(NamedTuple):
    """The commanded target. What the contract's kind of action does not have is None.

    Attributes:
        pose: of the tool in the base frame, m and rad.
        joints: positions [n], rad.
        opening: of the gripper, m.
    """

    pose: ToolPose | None
    joints: Array | None
    opening: float | None


class ReferenceReader:
    """Reads ``safety/reference`` of one contract.

    Args:
        contract: says what it consists of.
        robot: names its joints.
    """

    def __init__(self, contract: Contract, robot: Robot) -> None:
        kind = contract.action.kind
        self._joints = robot.joints if kind in JOINT_KINDS else ()
        if kind == "tool_delta":
            self._names: tuple[str, ...] = ("tool_x", "tool_y", "tool_z", "tool_yaw")
        elif kind == "tool_pose_delta":
            turn = ("tool_qx", "tool_qy", "tool_qz", "tool_qw")
            self._names = ("tool_x", "tool_y", "tool_z", *turn)
        else:
            self._names = self._joints
        self._gripper = contract.action.has_gripper

    @property
    def names(self) -> tuple[str, ...]:
        """The components that the message must have."""
        return (*self._names, "gripper_width") if self._gripper else self._names

    def read(self, message: Any) -> Reference:
        """A message of ``safety/reference``.

        Raises:
            InputError: a component is missing or not finite, or a quaternion has no length.
        """
        values = named_vector(message, self.names, TOPIC)
        opening = float(values[-1]) if self._gripper else None
        if self._joints:
            return Reference(None, values[: len(self._joints)], opening)
        if not self._names:
            return Reference(None, None, opening)
        if self._names[-1] == "tool_yaw":
            yaw = math.remainder(float(values[3]), 2.0 * math.pi)
            return Reference(ToolPose(values[:3], rotation_from_yaw(yaw), yaw), None, opening)
        quaternion = values[3:7]
        length = float(np.sqrt(quaternion @ quaternion))
        if not abs(length - 1.0) < LENGTH_TOLERANCE:
            raise InputError(TOPIC, f"its quaternion has length {length:.3g}", "check its sender")
        placement = pinocchio.XYZQUATToSE3(np.concatenate([values[:3], quaternion / length]))
        rotation = np.array(placement.rotation)
        pose = ToolPose(values[:3], rotation, yaw_from_rotation(rotation))
        return Reference(pose, None, opening)
