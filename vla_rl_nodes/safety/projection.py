"""The nearest step whose stop keeps the limits, as a small quadratic programme."""

from __future__ import annotations

import daqp
import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.robots.model import Robot
from vla_rl_nodes.safety.clearance import Clearance
from vla_rl_nodes.safety.limits import SafetyLimits
from vla_rl_nodes.safety.smoothing import Knot
from vla_rl_nodes.safety.stop import Plan, Stopping

Array = NDArray[np.float64]

OPTIMAL = 1  # daqp's exit flag
WITHIN = 0.03  # m, how near a pair is to its margin when it becomes a constraint
INSET = 1e-5  # m and rad, kept from each linearised limit so that the exact check passes
SPEED_SHARE = 0.96  # of the tool's speed limit, aimed at where it has to be enforced
SAG = 0.002  # m, kept from the trunk's height limits: feet move on curves between two knots
FREE = 1e30  # daqp's infinity


class StepProjection:
    """Finds the acceleration nearest to a wanted one under limits linearised along its stop.

    The unknown is the acceleration of every joint at the next knot. All knots of the stop after
    it are linear in it (:class:`Stopping`), so a distance, the tool point or the trunk's height at
    one of them is a row of a quadratic programme of n variables, solved by DAQP (Arnstrom,
    Bemporad and Axehill 2022). Joint limits bound the unknown directly.

    Args:
        robot, clearance, limits: as of the motion.
        stopping: stops of that robot.
    """

    def __init__(
        self,
        robot: Robot,
        clearance: Clearance,
        limits: SafetyLimits,
        stopping: Stopping,
    ) -> None:
        self._robot, self._clearance = robot, clearance
        self._stopping, self._dt = stopping, stopping.dt
        self._hessian = np.eye(len(robot.joints))
        self.tighten(limits)

    def tighten(self, limits: SafetyLimits) -> None:
        """Takes stricter limits."""
        self._limits = limits
        self._scale = limits.velocity_scale

    def nearest(
        self, start: Knot, wanted: Array, plan: Plan, rows: tuple[int, ...]
    ) -> Array | None:
        """Acceleration at the next knot [n] nearest to ``wanted``; None: there is none.

        Args:
            start: the present knot.
            wanted: acceleration at the next knot [n].
            plan: a plan that was not admissible; the limits are linearised along it.
            rows: of the plan, where it was at fault; its last is always looked at.
        """
        present, scale = plan.a[0], self._stopping.acceleration
        gains = self._gains(len(plan.q))
        lower, upper = self._bounds(start, plan, gains)
        if not (lower <= upper).all():
            return None
        found = [self._speed(plan, row) for row in dict.fromkeys((0, *rows[:1]))]
        for row in dict.fromkeys((*rows[:1], len(plan.q) - 1)):
            found += [(jacobian * gains[row], room) for jacobian, room in self._rows(plan.q[row])]
        matrix = np.concatenate([jacobian for jacobian, _ in found]) * scale
        room = np.concatenate([room for _, room in found]) - INSET
        answer, _, flag, _ = daqp.solve(
            self._hessian,
            (present - wanted) / scale,
            np.ascontiguousarray(matrix),
            np.concatenate([(upper - present) / scale, np.full(len(room), FREE)]),
            np.concatenate([(lower - present) / scale, -room]),
            np.zeros(len(scale) + len(room), dtype=np.int32),
        )
        if flag != OPTIMAL or not np.isfinite(answer).all():
            return None
        nearest: Array = np.clip(present + np.asarray(answer) * scale, lower, upper)
        return nearest

    def _gains(self, rows: int) -> Array:
        """[rows] displacement of each of the plan's knots per acceleration of its first."""
        dt = self._dt
        shape = self._stopping.shape(rows - 1) if rows > 1 else None
        if shape is None:
            return np.array([dt * dt / 6.0])
        gains: Array = dt * dt / 6.0 + shape.q @ np.array([0.5 * dt, 1.0])
        return gains

    def _bounds(self, start: Knot, plan: Plan, gains: Array) -> tuple[Array, Array]:
        """Lowest and highest acceleration at the next knot that the joints' limits allow."""
        # The limit falls while the joint still moves on: where it will be counts too.
        ahead = np.concatenate([start.q[None], plan.q[: self._stopping.ramp + 2]])
        slowest, fastest = self._robot.velocity_bounds(ahead)
        lower, upper = self._stopping.room(
            start.v, start.a, slowest.max(axis=0) * self._scale, fastest.min(axis=0) * self._scale
        )
        # A stop may turn round on its way; in a tick a joint goes this far beyond both its ends.
        turn = INSET + self._stopping.acceleration * self._dt**2 / 8.0
        highest = np.maximum(self._robot.position_max - turn, start.q)
        lowest = np.minimum(self._robot.position_min + turn, start.q)
        present, joints = plan.a[0], np.arange(len(start.q))
        top, bottom = np.argmax(plan.q, axis=0), np.argmin(plan.q, axis=0)
        upper = np.minimum(upper, present + (highest - plan.q[top, joints]) / gains[top])
        lower = np.maximum(lower, present + (lowest - plan.q[bottom, joints]) / gains[bottom])
        return lower, upper

    def _rows(self, q: Array) -> list[tuple[Array, Array]]:
        """Linearised limits at one configuration: jacobian [m, n] and room [m]."""
        close = self._clearance.rows(q, WITHIN)
        found = [(close.jacobian, close.room)]
        box, tolerance = self._limits.workspace, self._limits.workspace_tolerance
        if box is not None and self._robot.tool_frame is not None:
            point, jacobian = self._clearance.point(q, self._robot.tool_frame)
            low, high = point - box.lower + tolerance, box.upper + tolerance - point
            found += [(jacobian[low < WITHIN], low[low < WITHIN]),
                      (-jacobian[high < WITHIN], high[high < WITHIN])]  # fmt: skip
        if self._limits.body is not None:
            found += self._trunk(q)
        return found

    def _trunk(self, q: Array) -> list[tuple[Array, Array]]:
        """No foot too far down, and the lowest not too far up: the trunk's height."""
        assert self._limits.body is not None
        feet = [self._clearance.point(q, foot) for foot in self._robot.feet]
        down = np.array([-point[2] for point, _ in feet])
        rows = np.array([jacobian[2] for _, jacobian in feet])
        lowest = int(np.argmax(down))
        return [
            (rows, self._limits.body.height_max - SAG - down),
            (
                -rows[lowest : lowest + 1],
                down[lowest : lowest + 1] - self._limits.body.height_min - SAG,
            ),
        ]

    def _speed(self, plan: Plan, row: int) -> tuple[Array, Array]:
        """The tool's speed at a knot, along its direction there, as one row of the matrix."""
        most = self._limits.tool_speed_max
        if most is not None and self._robot.tool_frame is not None:
            _, jacobian = self._clearance.point(plan.q[row], self._robot.tool_frame)
            velocity = jacobian @ plan.v[row]
            speed = float(np.sqrt(velocity @ velocity))
            if speed > 0.5 * most:
                gain = 0.5 * self._dt
                if row > 0:
                    shape = self._stopping.shape(len(plan.q) - 1)
                    gain = float(shape.v[row] @ (gain, 1.0))
                along = velocity / speed @ jacobian * -gain
                return along[None], np.array([SPEED_SHARE * most - speed])
        return np.empty((0, len(plan.q[0]))), np.empty(0)
