"""A person moves the tool: tool_delta and tool_pose_delta actions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.contract.spec import Action
from vla_rl_nodes.intervention.moves import Off, shrunk, within
from vla_rl_nodes.intervention.reference import Reference
from vla_rl_nodes.intervention.settings import DeviceSettings
from vla_rl_nodes.robots.kinematics import Kinematics
from vla_rl_nodes.robots.model import Robot
from vla_rl_nodes.safety.targets.pose_axes import PoseAxes, ToolPose

Array = NDArray[np.float64]


class ToolMoves:
    """tool_delta and tool_pose_delta: a change of the tool's pose in one control period.

    Args:
        action: the contract's.
        robot: base frame, and the kinematics for leaders.
        period_s: the control period, s.
    """

    def __init__(self, action: Action, robot: Robot, period_s: float) -> None:
        self._axes = PoseAxes(action, robot.base_frame)
        self._in_tool = not self._axes.downward and action.frame != robot.base_frame
        self._kinematics = Kinematics(robot)
        self._period_s = period_s
        count = 3 + self._axes.turns
        self._names = action.names[:count]
        self._low, self._high = action.minimum[:count], action.maximum[:count]

    def hold(self, reference: Reference) -> Array:
        """See :class:`Moves`."""
        return self._bounded(np.zeros(len(self._low)))

    def push(self, reference: Reference, settings: DeviceSettings, motion: Array) -> Array:
        """See :class:`Moves`."""
        speed = settings.speed
        way = speed.linear * self._period_s * within(motion[:3], 1.0)
        turn = speed.angular * self._period_s * within(motion[3:], 1.0)
        from_tool = settings.frame == "tool"
        if from_tool != self._in_tool:
            assert reference.pose is not None  # a tool's reference has one
            rotation = reference.pose.rotation if from_tool else reference.pose.rotation.T
            way, turn = rotation @ way, rotation @ turn
        if self._axes.downward:
            turn = turn[2:]  # a tool that points down turns about the base's z only
        return self._bounded(np.concatenate([way, turn]))

    def follow(
        self, reference: Reference, settings: DeviceSettings, joints: Array, share: float
    ) -> Array:
        """See :class:`Moves`."""
        speed, most = settings.speed, share * self._period_s
        deltas = self._deltas(reference, joints)
        deltas[:3] = within(deltas[:3], speed.linear * most)
        deltas[3:] = within(deltas[3:], speed.angular * most)
        return self._bounded(deltas)

    def off(self, reference: Reference, settings: DeviceSettings, joints: Array) -> list[Off]:
        """See :class:`Moves`."""
        assert settings.leader is not None
        allowed = settings.leader.matching
        deltas = self._deltas(reference, joints).tolist()
        limits = [allowed.linear] * 3 + [allowed.angular] * self._axes.turns
        return [Off(*row) for row in zip(self._names, deltas, limits, strict=True)]

    def _deltas(self, reference: Reference, joints: Array) -> Array:
        assert reference.pose is not None
        pose = self._kinematics.fk(joints)
        goal = self._axes.nearest(
            pose.position, pose.rotation, reference.pose
        ) if self._axes.downward else ToolPose(pose.position, pose.rotation, 0.0)  # fmt: skip
        return self._axes.deltas(reference.pose, goal)

    def _bounded(self, deltas: Array) -> Array:
        """Shortened to the contract's bounds, the way and the turn each in its direction."""
        way = shrunk(deltas[:3], self._low[:3], self._high[:3])
        return np.concatenate([way, shrunk(deltas[3:], self._low[3:], self._high[3:])])
