"""Where a robot may stand still: box, distances and height at one configuration."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.robots.model import Robot
from vla_rl_nodes.safety.clearance import Clearance
from vla_rl_nodes.safety.limits import SafetyLimits
from vla_rl_nodes.safety.reasons import NONE, Reason

Array = NDArray[np.float64]

WITHIN = 0.06  # m, how near a limit is when it becomes a constraint
SAME = 2e-6  # m, to which distances are found iteratively
SAG = 0.003  # m, kept from the trunk's height limits: between targets feet move on curves


class Rows(NamedTuple):
    """Linearised limits at a configuration: ``room + jacobian @ dq >= 0``."""

    jacobian: Array
    room: Array


class Stance:
    """The limits that hold for a robot at rest, checked exactly and linearised.

    Targets keep ``workspace_tolerance`` more distance than the motion between them has to. What
    is outside already, as it may be where the robot was armed, must not go further out.

    Args:
        robot: tool frame and feet.
        clearance: distances.
        limits: box, margins, height.
    """

    def __init__(self, robot: Robot, clearance: Clearance, limits: SafetyLimits) -> None:
        self._frame, self._feet = robot.tool_frame, tuple(robot.feet)
        self._clearance, self._box, self._body = clearance, limits.workspace, limits.body
        self._reserve = limits.workspace_tolerance

    def begin(self, q: Array) -> None:
        """The configuration [n] that the next checks compare with."""
        rooms = self._clearance.rooms(q, self._reserve, WITHIN)
        self._floor = None if rooms is None else np.minimum(rooms, 0.0)
        if self._box is not None and self._frame is not None:
            point = self._clearance.point(q, self._frame)[0]
            self.lower = np.minimum(self._box.lower, point)
            self.upper = np.maximum(self._box.upper, point)
        if self._body is not None:
            height = float(self._clearance.heights(q[None], self._feet).max())
            self._low = min(self._body.height_min + SAG, height)
            self._high = max(self._body.height_max - SAG, height)

    def inside(self, point: Array) -> Array:
        """The point of the box nearest to a tool point [3], m."""
        if self._box is None:
            return point
        nearest: Array = np.minimum(np.maximum(point, self.lower), self.upper)
        return nearest

    def problems(self, q: Array, tolerance: float) -> Reason:
        """What forbids to stand at ``q`` [n]; the box may be left by ``tolerance`` m."""
        reasons = NONE
        if self._box is not None and self._frame is not None:
            point = self._clearance.point(q, self._frame)[0]
            if not (np.abs(point - self.inside(point)) <= tolerance).all():
                reasons |= Reason.WORKSPACE
        rooms = self._clearance.rooms(q, self._reserve, 0.0)
        if rooms is not None:
            floor = 0.0 if self._floor is None else self._floor
            for pair in np.flatnonzero(~(rooms >= floor - SAME)).tolist():
                reasons |= self._clearance.reasons[pair]
        if self._body is not None:
            height = float(self._clearance.heights(q[None], self._feet).max())
            if not self._low <= height <= self._high:
                reasons |= Reason.BODY
        return reasons

    def rows(self, q: Array) -> Rows:
        """The limits near ``q`` [n], linearised there."""
        near = self._clearance.rows(q, WITHIN, self._reserve)
        floor = 0.0 if self._floor is None else self._floor[near.pairs]
        jacobians, rooms = [near.jacobian], [near.room - floor]
        if self._box is not None and self._frame is not None:
            point, jacobian = self._clearance.point(q, self._frame)
            for sign, room in ((1.0, point - self.lower), (-1.0, self.upper - point)):
                jacobians.append(sign * jacobian)
                rooms.append(room)
        if self._body is not None:
            feet = [self._clearance.point(q, foot) for foot in self._feet]
            down = np.array([-point[2] for point, _ in feet])
            up = np.array([jacobian[2] for _, jacobian in feet])
            lowest = int(np.argmax(down))
            jacobians += [up, -up[lowest : lowest + 1]]
            rooms += [self._high - down, down[lowest : lowest + 1] - self._low]
        return Rows(np.concatenate(jacobians), np.concatenate(rooms))
