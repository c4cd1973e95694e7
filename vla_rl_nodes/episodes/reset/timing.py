"""A way through joint space as positions in time: Ruckig along the way, at rest at its corners."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import ruckig
from numpy.typing import NDArray

from vla_rl_nodes.episodes.reset.check import finer
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.robots.kinematics import Kinematics
from vla_rl_nodes.robots.model import Robot
from vla_rl_nodes.safety.limits import SafetyLimits

Array = NDArray[np.float64]

SAME = 1e-6  # rad: two points closer than this are one
CORNER = 0.97  # cosine of the turn, of joint-space directions, from which on the arm stops
BEND_S = 0.05  # s over which a smaller turn is taken
TOOL_SHARE = 0.7  # of the tool's speed limit
LOOK = 0.05  # rad of the joint that turns most, between two looks at the tool's speed
SLOWEST = 0.005  # rad/s along the way; slower than this is no plan


class Timing:
    """Times ways for one robot, at a share of its limits and within the safety filter's.

    The arm moves along each straight piece with all joints in step: one position along the way,
    led by Ruckig (Berscheid and Kroeger 2021) within the jerk, acceleration and velocity that no
    joint exceeds. It comes to rest at corners.

    Args:
        robot: joint limits.
        kinematics: the tool's speed.
        limits: the filter's shares and its tool speed.
        share: of the robot's velocity and acceleration limits, at most the filter's own.
        period_s: between two positions, the control period.
    """

    def __init__(
        self, robot: Robot, kinematics: Kinematics, limits: SafetyLimits, share: float,
        period_s: float,
    ) -> None:  # fmt: skip
        self._robot, self._kinematics, self._limits = robot, kinematics, limits
        self._velocity_share = min(share, 0.9 * limits.velocity_scale)
        self._acceleration = robot.acceleration_max * min(share, limits.acceleration_scale)
        self._jerk = robot.jerk_max * min(share, limits.jerk_scale)
        self._period = period_s

    def positions(self, way: Array, tool_speed: float | None = None) -> Array:
        """Joint positions [m, n], rad, one for each control period after the beginning.

        Args:
            way: points [k, n] to pass, rad; the arm rests at the first and at the last.
            tool_speed: slower than the limits say, m/s.

        Raises:
            InputError: a joint would have to crawl, as next to the end of its range.
        """
        rows = [self._leg(leg, tool_speed) for leg in _legs(_distinct(way))]
        return np.concatenate(rows) if rows else way[-1:].copy()

    def _leg(self, leg: Array, tool_speed: float | None) -> Array:
        steps = np.diff(leg, axis=0)
        lengths = np.sqrt((steps * steps).sum(axis=1))
        along = np.concatenate([[0.0], np.cumsum(lengths)])
        directions = steps / lengths[:, None]
        turned = np.maximum(np.abs(directions), 1e-9)
        fastest = self._fastest(leg, directions, tool_speed)
        if not fastest > SLOWEST:
            place = "reset plan"
            raise InputError(place, "a joint is at the end of its range", "move the arm by hand")
        given = ruckig.InputParameter(1)
        given.current_position, given.target_position = [0.0], [float(along[-1])]
        given.max_velocity = [fastest]
        given.max_acceleration = [float((self._acceleration / turned).min())]
        given.max_jerk = [float((self._jerk / turned).min())]
        trajectory = ruckig.Trajectory(1)
        result = ruckig.Ruckig(1).calculate(given, trajectory)
        assert result in (ruckig.Result.Working, ruckig.Result.Finished), result
        count = max(int(np.ceil(trajectory.duration / self._period - 1e-9)), 1)
        times = np.minimum(np.arange(1, count + 1) * self._period, trajectory.duration)
        places = [float(trajectory.at_time(float(t))[0][0]) for t in times]
        return np.stack([np.interp(places, along, joint) for joint in leg.T], axis=1)

    def _fastest(self, leg: Array, directions: Array, tool_speed: float | None) -> float:
        """Greatest speed along the way that no joint and no tool finds too fast, rad/s."""
        turned = np.maximum(np.abs(directions), 1e-9)
        # Bounds depend on the position and on the direction: both ends of each piece count.
        most = np.full_like(directions, np.inf)
        for ends in (leg[:-1], leg[1:]):
            lower, upper = self._robot.velocity_bounds(ends)
            most = np.minimum(most, np.where(directions > 0.0, upper, -lower))
        fastest = float((self._velocity_share * most / turned).min())
        bend = np.abs(np.diff(directions, axis=0))
        if len(bend):
            limit = self._acceleration * BEND_S / np.maximum(bend, 1e-9)
            fastest = min(fastest, float(limit.min()))
        speeds = [s for s in (tool_speed, self._tool_speed) if s is not None]
        if speeds and self._kinematics.has_tool:
            fine = finer(leg, LOOK)
            ways = np.sqrt((np.diff(self._kinematics.tool_points(fine), axis=0) ** 2).sum(axis=1))
            turns = np.sqrt((np.diff(fine, axis=0) ** 2).sum(axis=1))
            fastest = min(fastest, min(speeds) / max(float((ways / turns).max()), 1e-9))
        return fastest

    @property
    def _tool_speed(self) -> float | None:
        most = self._limits.tool_speed_max
        return None if most is None else TOOL_SHARE * most


def _distinct(way: Array) -> Array:
    kept = [way[0]]
    for point in way[1:]:
        if np.abs(point - kept[-1]).max() > SAME:
            kept.append(point)
    return np.array(kept)


def _legs(way: Array) -> list[Array]:
    """The pieces [k, n] between corners, where the arm rests."""
    if len(way) < 2:
        return []
    steps = np.diff(way, axis=0)
    directions = steps / np.sqrt((steps * steps).sum(axis=1))[:, None]
    corners = np.flatnonzero((directions[:-1] * directions[1:]).sum(axis=1) < CORNER) + 1
    bounds = [0, *corners.tolist(), len(way) - 1]
    return [way[a : b + 1] for a, b in pairwise(bounds)]
