"""Tool actions as changes of a pose, and changes of a pose as tool actions."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import pinocchio
from numpy.typing import NDArray

from vla_rl_nodes.contract.spec import Action
from vla_rl_nodes.robots.tool_frame import rotation_from_yaw, yaw_from_rotation

Array = NDArray[np.float64]


class ToolPose(NamedTuple):
    """A tool's position [3], m, and rotation [3, 3] in the base frame; ``yaw`` in rad, counted on
    beyond a turn, matters where the tool points down only."""

    position: Array
    rotation: Array
    yaw: float


class PoseAxes:
    """How the axes of a tool action move the tool's pose.

    ``tool_delta`` turns a tool that points down about the base's z. ``tool_pose_delta`` turns by
    a rotation vector: about the base's axes, or where ``action.frame`` is the tool's, translates
    along and turns about the tool's own axes.

    Args:
        action: of kind tool_delta or tool_pose_delta.
        base_frame: the robot's base frame.
    """

    def __init__(self, action: Action, base_frame: str) -> None:
        self.downward = action.kind == "tool_delta"
        self._own = action.frame != base_frame
        self.turns = 1 if self.downward else 3  # axes that turn

    def start(self, position: Array, rotation: Array) -> ToolPose:
        """The pose to begin with; a downward tool keeps its tilt until it is first turned."""
        return ToolPose(position, rotation, yaw_from_rotation(rotation))

    def moved(self, pose: ToolPose, deltas: Array) -> ToolPose:
        """``pose`` moved by the action's deltas [3 + turns], m and rad."""
        way, turn = deltas[:3], deltas[3:]
        if self.downward:
            yaw = pose.yaw + float(turn[0])
            return ToolPose(pose.position + way, rotation_from_yaw(yaw), yaw)
        turned = pinocchio.exp3(np.ascontiguousarray(turn))
        if self._own:
            position, rotation = pose.position + pose.rotation @ way, pose.rotation @ turned
        else:
            position, rotation = pose.position + way, turned @ pose.rotation
        return ToolPose(position, rotation, yaw_from_rotation(rotation))

    def nearest(self, position: Array, rotation: Array, like: ToolPose) -> ToolPose:
        """The pose that actions can lead to which is nearest to a position and a rotation."""
        if not self.downward:
            return ToolPose(position, rotation, yaw_from_rotation(rotation))
        turn = math.remainder(yaw_from_rotation(rotation) - like.yaw, 2.0 * math.pi)
        yaw = like.yaw + turn
        return ToolPose(position, rotation_from_yaw(yaw), yaw)

    def deltas(self, before: ToolPose, after: ToolPose) -> Array:
        """The action's deltas [3 + turns] that lead from one pose to another."""
        way = after.position - before.position
        if self.downward:
            return np.append(way, after.yaw - before.yaw)
        if self._own:
            turn = pinocchio.log3(before.rotation.T @ after.rotation)
            return np.concatenate([before.rotation.T @ way, turn])
        return np.concatenate([way, pinocchio.log3(after.rotation @ before.rotation.T)])
