"""A person moves the joints: joint_delta and joint_position actions."""

from __future__ import annotations

import numpy as np
import pinocchio
from numpy.typing import NDArray

from vla_rl_nodes.contract.spec import Action
from vla_rl_nodes.intervention.moves import Off, shrunk, within
from vla_rl_nodes.intervention.reference import Reference
from vla_rl_nodes.intervention.settings import DeviceSettings
from vla_rl_nodes.robots.kinematics import Kinematics
from vla_rl_nodes.robots.model import Robot

Array = NDArray[np.float64]

IK_TOLERANCE = 1e-5  # m and rad
IK_ITERATIONS = 12


class JointMoves:
    """joint_delta and joint_position: a step of the joints in one control period.

    A deflection moves the tool; inverse kinematics says how the joints follow.

    Args:
        action: the contract's.
        robot: its joints, and its kinematics.
        period_s: the control period, s.
    """

    def __init__(self, action: Action, robot: Robot, period_s: float) -> None:
        self._absolute = action.kind == "joint_position"
        self._kinematics = Kinematics(robot)
        self._robot, self._period_s = robot, period_s
        count = len(robot.joints)
        self._low, self._high = action.minimum[:count], action.maximum[:count]

    def hold(self, reference: Reference) -> Array:
        """See :class:`Moves`."""
        return self._action(reference, np.zeros(len(self._low)))

    def push(self, reference: Reference, settings: DeviceSettings, motion: Array) -> Array:
        """See :class:`Moves`."""
        joints = _joints(reference)
        if not motion.any():
            return self.hold(reference)
        start = np.clip(joints, self._robot.position_min, self._robot.position_max)
        pose = self._kinematics.fk(start)
        way = settings.speed.linear * self._period_s * within(motion[:3], 1.0)
        turn = settings.speed.angular * self._period_s * within(motion[3:], 1.0)
        if settings.frame == "tool":
            way, turn = pose.rotation @ way, pose.rotation @ turn
        found = self._kinematics.solve(
            start, pose.position + way, pinocchio.exp3(turn) @ pose.rotation,
            posture=start, tolerance=IK_TOLERANCE, iterations=IK_ITERATIONS,
        )  # fmt: skip
        return self._action(reference, self._slowed(found.q - joints, settings, 1.0))

    def follow(
        self, reference: Reference, settings: DeviceSettings, joints: Array, share: float
    ) -> Array:
        """See :class:`Moves`."""
        step = self._slowed(joints - _joints(reference), settings, share)
        return self._action(reference, step)

    def off(self, reference: Reference, settings: DeviceSettings, joints: Array) -> list[Off]:
        """See :class:`Moves`."""
        assert settings.leader is not None
        errors = (joints - _joints(reference)).tolist()
        allowed = settings.leader.matching.joint
        return [Off(n, e, allowed) for n, e in zip(self._robot.joints, errors, strict=True)]

    def _slowed(self, step: Array, settings: DeviceSettings, share: float) -> Array:
        most = np.full(len(step), share * settings.speed.joint * self._period_s)
        return shrunk(step, -most, most)

    def _action(self, reference: Reference, step: Array) -> Array:
        if not self._absolute:
            return shrunk(step, self._low, self._high)
        return np.clip(_joints(reference) + step, self._low, self._high)


def _joints(reference: Reference) -> Array:
    assert reference.joints is not None  # the reference of a contract of joints has them
    return reference.joints
