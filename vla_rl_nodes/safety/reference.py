"""Turns accepted actions into a joint reference that the arm can follow."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.contract.spec import Action
from vla_rl_nodes.robots.kinematics import IkResult, Kinematics
from vla_rl_nodes.robots.model import Robot
from vla_rl_nodes.robots.rotation import turned_towards
from vla_rl_nodes.robots.tool_frame import rotation_from_yaw, yaw_from_rotation
from vla_rl_nodes.safety.limits import SafetyLimits
from vla_rl_nodes.safety.reasons import NONE, Reason

Array = NDArray[np.float64]

ATTEMPTS = 5  # how often a motion is shortened before it is given up
ITERATIONS = 8  # of each inverse kinematics; a step of 2 cm takes two or three
SAME = 1e-6  # m or rad: below this a bound counts as kept (actions are float32)


class Accepted(NamedTuple):
    """The action that was really accepted, in the contract's axes and units, and why it
    differs from what was asked."""

    values: Array
    reasons: Reason


class Reference:
    """The commanded tool pose and, as a straight line in joint space, the way to it.

    Each accepted action moves the pose; the joint reference moves to the new pose linearly over
    one control period (first-order hold), one filter tick at a time.

    Args:
        robot: joint limits.
        kinematics: forward and inverse kinematics.
        action: the contract's action, of kind ``tool_delta``.
        limits: workspace, residual bounds and scales.
        ticks: filter ticks in a control period.
        dt: the filter's period, s.
        q: where the arm is [n], rad.
        width: the gripper's opening, m.
    """

    def __init__(
        self,
        robot: Robot,
        kinematics: Kinematics,
        action: Action,
        limits: SafetyLimits,
        ticks: int,
        dt: float,
        q: Array,
        width: float,
    ) -> None:
        self._robot, self._kinematics = robot, kinematics
        self._limits = limits
        self._ticks, self._period = ticks, ticks * dt
        self._minimum, self._maximum = action.minimum.copy(), action.maximum.copy()
        if robot.gripper is not None:
            self._maximum[4] = min(self._maximum[4], robot.gripper.width_max)
        self._residual_bound = np.array([limits.residual_bound[n] for n in action.names])
        scaled = robot.velocity_max * limits.velocity_scale
        deceleration = robot.acceleration_max * limits.acceleration_scale
        # One period at full speed and the stop after it: more than the arm ever trails by.
        self._lead_max = scaled * self._period + scaled**2 / (2.0 * deceleration)
        pose = kinematics.fk(q)
        self._position, self._rotation = pose.position, pose.rotation
        self._yaw = yaw_from_rotation(pose.rotation)
        self.width = float(np.clip(width, self._minimum[4], self._maximum[4]))
        self._from, self._to, self._done = q.copy(), q.copy(), ticks

    @property
    def pose(self) -> Array:
        """tool_x, tool_y, tool_z (m), tool_yaw (rad, -pi..pi), gripper_width (m): shape [5]."""
        yaw = math.remainder(self._yaw, 2.0 * math.pi)
        return np.array([*self._position, yaw, self.width])

    def advance(self) -> Array:
        """The joint reference [n] one filter tick later."""
        self._done = min(self._done + 1, self._ticks)
        return self._now()

    def accept(self, base: Array, residual: Array | None, q_command: Array) -> Accepted:
        """Takes one control tick's action.

        The residual is bounded and added, the sum is bounded to the contract's axes, the pose is
        kept in the workspace box, and the motion is shortened until the joints can follow.

        Args:
            base: the base action [5].
            residual: the residual of the same control tick [5], if there is one.
            q_command: the joint positions last commanded [n], rad.
        """
        action, reasons = self._bounded(base, residual)
        wanted = self._position + action[:3]
        # A reference that is outside the box (the arm was armed there) may not go further out.
        low = np.minimum(self._limits.workspace.lower, self._position)
        high = np.maximum(self._limits.workspace.upper, self._position)
        inside = np.clip(wanted, low, high)
        if (np.abs(inside - wanted) > SAME).any():
            reasons |= Reason.WORKSPACE
        action[:3] = np.where(inside == wanted, action[:3], inside - self._position)
        share, q, why = self._furthest(action, q_command)
        reasons |= why
        if share > 0.0:
            self._rotation = self._turned(action[3], share)
            self._position = self._position + share * action[:3]
            self._yaw += share * float(action[3])
            self._from, self._to, self._done = self._now(), q, 0
        action[:4] *= share
        self.width = float(action[4])
        return Accepted(action, reasons)

    def _bounded(self, base: Array, residual: Array | None) -> tuple[Array, Reason]:
        reasons = NONE
        total = base.copy()
        if residual is not None:
            bounded = np.clip(residual, -self._residual_bound, self._residual_bound)
            if (np.abs(bounded - residual) > SAME).any():
                reasons |= Reason.RESIDUAL_BOUND
            total += bounded
        action = np.clip(total, self._minimum, self._maximum)
        if (np.abs(action - total) > SAME).any():
            reasons |= Reason.ACTION_BOUND
        return action, reasons

    def _furthest(self, action: Array, q_command: Array) -> tuple[float, Array, Reason]:
        """The largest share of the motion that is found to fit, and its joint positions."""
        reasons, share = NONE, 1.0
        # The elbow is drawn home only while the tool moves: an action of zero moves no joint.
        pull = min(1.0, float(np.abs(action[:3]).max()) / 0.01 + abs(float(action[3])) / 0.1)
        posture = self._to + pull * (self._robot.home - self._to)
        for _ in range(ATTEMPTS):
            result = self._kinematics.solve(
                self._to,
                self._position + share * action[:3],
                self._turned(action[3], share),
                posture=posture,
                iterations=ITERATIONS,
            )
            problem, ratio = self._problem(result, q_command)
            if not problem:
                return share, result.q, reasons
            reasons |= problem
            share *= ratio
        return 0.0, self._to, reasons

    def _problem(self, result: IkResult, q_command: Array) -> tuple[Reason, float]:
        """What forbids a joint reference, and by how much to shorten the motion."""
        robot, q = self._robot, result.q
        if not result.converged:
            at_limit = (q <= robot.position_min) | (q >= robot.position_max)
            return (Reason.JOINT_POSITION if at_limit.any() else Reason.IK_FAILED), 0.5
        lowest, highest = robot.velocity_bounds(q)
        move = q - self._now()
        room = np.where(move >= 0, highest, -lowest) * self._limits.velocity_scale * self._period
        over = np.abs(move) > room
        if over.any():
            ratio = float(np.min(room[over] / np.abs(move[over])))
            return Reason.JOINT_VELOCITY, 0.98 * ratio
        lead, lead_before = np.abs(q - q_command), np.abs(self._to - q_command)
        if (lead > np.maximum(self._lead_max, lead_before)).any():
            return Reason.JOINT_ACCELERATION, 0.5
        return NONE, 1.0

    def _turned(self, yaw_delta: float, share: float) -> Array:
        goal = rotation_from_yaw(self._yaw + float(yaw_delta))
        return goal if share == 1.0 else turned_towards(self._rotation, goal, share)

    def _now(self) -> Array:
        if self._done >= self._ticks:
            return self._to
        return self._from + (self._to - self._from) * (self._done / self._ticks)
