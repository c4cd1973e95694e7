"""How far the joints may go in one control period."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.robots.model import Robot
from vla_rl_nodes.safety.limits import SafetyLimits
from vla_rl_nodes.safety.reasons import NONE, Reason

Array = NDArray[np.float64]

ROUNDING = 1e-9  # rad
SOLVED = 2e-6  # rad, to which inverse kinematics and programmes keep velocities and leads


class Interval(NamedTuple):
    """Lowest and highest joint positions [n], rad."""

    low: Array
    high: Array


class JointRange:
    """Ranges, velocities over one control period, and the lead over the commanded motion.

    Args:
        robot: joint limits.
        limits: shares of them.
        period: the control period, s.
    """

    def __init__(self, robot: Robot, limits: SafetyLimits, period: float) -> None:
        self._robot, self._period = robot, period
        margins = [axis.velocity_margin for axis in robot.axes]
        self._has = np.array([m is not None for m in margins])
        self._offset = np.array([0.0 if m is None else m.offset for m in margins])
        self._root = np.sqrt([0.0 if m is None else 2.0 * m.deceleration for m in margins])
        self._deceleration = robot.acceleration_max * limits.acceleration_scale
        self.tighten(limits)

    def tighten(self, limits: SafetyLimits) -> None:
        """Takes a lower share of the velocities."""
        self._scale = limits.velocity_scale
        fastest = self._robot.velocity_max * self._scale
        # One period at full speed and the stop after it, and what smoothing trails by: more than
        # the motion ever trails by on its own.
        trail = self._period + limits.smoothing_s
        self._lead = fastest * trail + fastest**2 / (2.0 * self._deceleration)

    def allowed(self, now: Array, end: Array, q_command: Array) -> Interval:
        """What a new target may be.

        Velocity limits depend on the position where they are reached: with ``d`` the distance
        from a joint's end at the new target, the move is at most
        ``share * (sqrt(2 * deceleration * d) - offset)``, a quadratic equation in ``sqrt(d)``.

        Args:
            now: the reference at this tick [n].
            end: the present target [n].
            q_command: positions just commanded [n].
        """
        robot, share = self._robot, self._scale * self._period
        lead = np.maximum(self._lead, np.abs(end - q_command))
        most = share * robot.velocity_max
        up = np.minimum(self._reach(robot.position_max - now, share), most)
        down = np.minimum(self._reach(now - robot.position_min, share), most)
        low = np.maximum(now - down, q_command - lead)
        high = np.minimum(now + up, q_command + lead)
        return Interval(
            np.maximum(low, self._robot.position_min), np.minimum(high, self._robot.position_max)
        )

    def _reach(self, room: Array, share: float) -> Array:
        """How far joints with a velocity margin may move towards an end ``room`` away [n]."""
        half = 0.5 * share * self._root
        # What is left to the end after the move, from r^2 + 2 half r = room + share * offset.
        left = np.sqrt(np.maximum(half * half + room + share * self._offset, 0.0)) - half
        reach: Array = np.where(self._has, np.maximum(room - left * left, 0.0), np.inf)
        return reach

    def problems(self, q: Array, now: Array, end: Array, q_command: Array) -> Reason:
        """What forbids ``q`` [n] as the new target."""
        reasons = NONE
        robot = self._robot
        if not ((q >= robot.position_min - ROUNDING) & (q <= robot.position_max + ROUNDING)).all():
            reasons |= Reason.JOINT_POSITION
        slowest, fastest = robot.velocity_bounds(q)
        share = self._scale * self._period
        move = q - now
        inside = (move >= slowest * share - SOLVED) & (move <= fastest * share + SOLVED)
        if not inside.all():
            reasons |= Reason.JOINT_VELOCITY
        lead = np.maximum(self._lead, np.abs(end - q_command)) + SOLVED
        if not (np.abs(q - q_command) <= lead).all():
            reasons |= Reason.JOINT_ACCELERATION
        return reasons
