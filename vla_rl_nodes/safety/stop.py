"""Stopping paths, and the check that a motion and its stop keep every limit."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.robots.kinematics import Kinematics
from vla_rl_nodes.robots.model import Robot
from vla_rl_nodes.safety.limits import SafetyLimits

Array = NDArray[np.float64]

# Rounding: positions of a few rad differ by 1e-15, which two divisions by a tick make 1e-11.
ROUNDING = 1e-9


class Stop(NamedTuple):
    """A verified stop: joint positions [m, n] at the filter's period, and the tool's points
    [m, 3]. After its last row the arm rests there."""

    path: Array
    points: Array


def stopping_path(q: Array, velocity: Array, dt: float, acceleration: Array) -> Array:
    """Positions [m, n] of the fastest stop at constant deceleration that keeps all joints in step.

    All joints slow in proportion and come to rest in the same tick, so the tool keeps its
    direction while it stops; the slowest to brake decides how long that takes. The last row
    equals the one before it (``q`` itself at rest): the arm stands still.

    Args:
        q: positions at the end of the last tick [n], rad.
        velocity: velocity of the last tick [n], rad/s.
        dt: the tick, s.
        acceleration: greatest deceleration [n], rad/s^2.
    """
    ticks = math.ceil(float(np.max(np.abs(velocity) / (acceleration * dt))) - ROUNDING)
    if ticks <= 1:
        return q[np.newaxis].copy()
    share = 1.0 - np.arange(1, ticks + 1) / ticks
    return q + np.cumsum(share)[:, np.newaxis] * (velocity * dt)


class StopCheck:
    """Checks a motion against the robot's limits and the workspace box.

    Args:
        robot: joint limits; its acceleration and velocity limits are scaled by ``limits``.
        kinematics: gives the tool point.
        limits: workspace, tolerance and scales.
        dt: the filter's period, s.
    """

    def __init__(
        self, robot: Robot, kinematics: Kinematics, limits: SafetyLimits, dt: float
    ) -> None:
        self._robot, self._kinematics, self._dt = robot, kinematics, dt
        self._velocity_scale = limits.velocity_scale
        self._change = robot.acceleration_max * limits.acceleration_scale * dt + ROUNDING
        self._lower = limits.workspace.lower - limits.workspace_tolerance
        self._upper = limits.workspace.upper + limits.workspace_tolerance

    def verified(self, q: Array, velocity: Array, point: Array, path: Array) -> Stop | None:
        """``path`` [m, n] as a stop when it keeps every limit from its first row to rest.

        Every tick's velocity is within the position-dependent limits where it ends, every
        change of velocity within the acceleration limits (also the first one, from
        ``velocity``), the last tick at rest, every position inside the joint ranges and
        every tool point inside the workspace box. A tool that is outside the box, as it may be
        when the arm is armed there, must not go further out in any tick.

        Args:
            q: positions before the path [n], rad.
            velocity: velocity before the path [n], rad/s.
            point: the tool point at ``q`` [3], m.
            path: positions at the filter's period [m, n].
        """
        robot = self._robot
        speeds = np.diff(path, axis=0, prepend=q[np.newaxis]) / self._dt
        changes = np.diff(speeds, axis=0, prepend=velocity[np.newaxis])
        # Each comparison asks for what is allowed, so that NaN is not.
        if not (
            (np.abs(changes) <= self._change).all() and (np.abs(speeds[-1]) <= ROUNDING).all()
        ):
            return None
        if not ((path >= robot.position_min).all() and (path <= robot.position_max).all()):
            return None
        lower, upper = robot.velocity_bounds(path)
        lower, upper = lower * self._velocity_scale, upper * self._velocity_scale
        if not ((speeds >= lower - ROUNDING).all() and (speeds <= upper + ROUNDING).all()):
            return None
        points = self._kinematics.tool_points(path)
        before = np.vstack([point, points[:-1]])
        low = np.minimum(self._lower, before) - ROUNDING
        high = np.maximum(self._upper, before) + ROUNDING
        if not ((points >= low).all() and (points <= high).all()):
            return None
        return Stop(path, points)
