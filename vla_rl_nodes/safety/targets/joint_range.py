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

    def allowed(self, at: Array, now: Array, end: Array, q_command: Array) -> Interval:
        """What a new target may be.

        Args:
            at: where velocity limits are taken from [n]; they depend on the position.
            now: the reference at this tick [n].
            end: the present target [n].
            q_command: positions just commanded [n].
        """
        slowest, fastest = self._robot.velocity_bounds(at)
        share = self._scale * self._period
        lead = np.maximum(self._lead, np.abs(end - q_command))
        low = np.maximum(now + slowest * share, q_command - lead)
        high = np.minimum(now + fastest * share, q_command + lead)
        return Interval(
            np.maximum(low, self._robot.position_min), np.minimum(high, self._robot.position_max)
        )

    def problems(self, q: Array, now: Array, end: Array, q_command: Array) -> Reason:
        """What forbids ``q`` [n] as the new target."""
        reasons = NONE
        robot = self._robot
        if not ((q >= robot.position_min - ROUNDING) & (q <= robot.position_max + ROUNDING)).all():
            reasons |= Reason.JOINT_POSITION
        slowest, fastest = robot.velocity_bounds(q)
        share = self._scale * self._period
        move = q - now
        inside = (move >= slowest * share - ROUNDING) & (move <= fastest * share + ROUNDING)
        if not inside.all():
            reasons |= Reason.JOINT_VELOCITY
        lead = np.maximum(self._lead, np.abs(end - q_command)) + ROUNDING
        if not (np.abs(q - q_command) <= lead).all():
            reasons |= Reason.JOINT_ACCELERATION
        return reasons
