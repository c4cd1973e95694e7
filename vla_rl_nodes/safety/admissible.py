"""Checks that a motion, from its first knot to its rest, keeps every limit."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.robots.kinematics import Kinematics
from vla_rl_nodes.robots.model import Robot
from vla_rl_nodes.safety.clearance import Clearance
from vla_rl_nodes.safety.limits import SafetyLimits
from vla_rl_nodes.safety.reasons import NONE, Reason
from vla_rl_nodes.safety.smoothing import Knot
from vla_rl_nodes.safety.stop import Plan, Stopping

Array = NDArray[np.float64]

ROUNDING = 1e-9  # rad, rad/s and m
SPEED_SHARE = 0.97  # of the tool's speed limit: what is left covers what happens inside a tick


class Verdict(NamedTuple):
    """Why a plan is not admissible (NONE: it is), and in which of its rows the tool, the trunk or
    a distance is at fault."""

    reasons: Reason
    rows: tuple[int, ...] = ()


class Admissible:
    """Everything that a plan has to keep, in every tick until it rests.

    Joint by joint: range, position-dependent velocity, acceleration, jerk, between knots too.
    For the tool point: the workspace box (with its tolerance) at every knot, and the speed over
    every tick. Distances as :class:`Clearance` says, and a legged robot's height at every knot.
    What is outside already, as it may be when the robot was armed there, must not go further
    out.

    Args:
        robot: joint limits.
        kinematics: of that robot.
        clearance: its distances.
        limits: shares of the limits, workspace, speeds.
        stopping: acceleration and jerk limits, and the filter's period.
    """

    def __init__(
        self,
        robot: Robot,
        kinematics: Kinematics,
        clearance: Clearance,
        limits: SafetyLimits,
        stopping: Stopping,
    ) -> None:
        self._robot, self._kinematics, self._clearance = robot, kinematics, clearance
        self._dt = stopping.dt
        self._stopping = stopping
        # From here on in a stop every joint slows down, without turning round.
        self._head = stopping.ramp + 2
        # In a tick a joint goes beyond both its ends by no more than this.
        self._excursion = stopping.acceleration * stopping.dt**2 / 8.0
        self._inner_min = robot.position_min + 2.0 * self._excursion
        self._inner_max = robot.position_max - 2.0 * self._excursion
        margins = [axis.velocity_margin for axis in robot.axes]
        self._offset = np.array([0.0 if m is None else m.offset for m in margins])
        self._per_square = np.array([0.0 if m is None else 0.5 / m.deceleration for m in margins])
        self.tighten(limits)
        self._frame = robot.tool_frame or ""
        self._tool = clearance.levers(self._frame) if self._frame else None
        self._feet = tuple(robot.feet) if limits.body is not None else ()
        self._foot_levers: Array = np.array([clearance.levers(foot) for foot in self._feet])

    def tighten(self, limits: SafetyLimits) -> None:
        """Takes stricter limits; the stored stop was found under the old ones and stays good."""
        self._scale = limits.velocity_scale
        self._v_max = self._robot.velocity_max * limits.velocity_scale
        self._speed, self._body = limits.tool_speed_max, limits.body
        self._box = limits.workspace
        if self._box is not None:
            self._lower = self._box.lower - limits.workspace_tolerance
            self._upper = self._box.upper + limits.workspace_tolerance

    def verdict(self, start: Knot, plan: Plan) -> Verdict:
        """Whether ``plan`` after ``start``, the present knot, is admissible."""
        q = np.concatenate([start.q[None], plan.q])
        v = np.concatenate([start.v[None], plan.v])
        a = np.concatenate([start.a[None], plan.a])
        reasons = self._joints(q, v, a)
        if reasons:
            return Verdict(reasons)
        rows: set[int] = set()
        if self._tool is not None:
            reasons |= self._tool_point(q, v, self._tool, rows)
        if self._feet:
            reasons |= self._height(q, v, a, rows)
        close = self._clearance.too_close(q)
        if close is not None:
            reasons |= close.reasons
            rows.update(row - 1 for row in close.rows)
        return Verdict(reasons, tuple(sorted(row for row in rows if row >= 0)))

    def _joints(self, q: Array, v: Array, a: Array) -> Reason:
        # Acceleration and jerk of the stop itself are within their limits by its construction.
        # Each comparison asks for what is allowed, so that NaN is not.
        finite = np.isfinite(q.sum() + v.sum() + a.sum())
        if not (finite and self._stopping.reaches(a[0], a[1])):
            return Reason.JOINT_ACCELERATION
        if self._plainly_inside(q, v[: self._head], a[: self._head]):
            return NONE
        top, bottom = self._extremes(v, a)
        lower, upper = self._robot.velocity_bounds(q)
        lower, upper = lower * self._scale, upper * self._scale
        lower = np.maximum(lower[:-1], lower[1:]) - ROUNDING
        upper = np.minimum(upper[:-1], upper[1:]) + ROUNDING
        if not ((top <= upper) & (bottom >= lower)).all():
            return Reason.JOINT_VELOCITY
        return self._range(q, v, a)

    def _plainly_inside(self, q: Array, v: Array, a: Array) -> bool:
        """A cheap bound on ranges and velocities; ``v`` and ``a`` end where the slowing begins.

        Beyond those rows positions are monotone. Inside a tick the velocity exceeds that at its
        ends by at most what half a tick of the acceleration at its beginning adds.
        """
        grown = v + a * (0.5 * self._dt)
        up = np.maximum(v, grown).max(axis=0)
        down = -np.minimum(v, grown).min(axis=0)
        ends = np.concatenate([q[: self._head], q[-1:]])
        # The nearest to a limit that the velocity margin allows at such a speed.
        offset, per_square = self._offset, self._per_square
        above = np.where(up > 0.0, up / self._scale + offset, 0.0)
        below = np.where(down > 0.0, down / self._scale + offset, 0.0)
        return bool(
            (up <= self._v_max).all()
            and (down <= self._v_max).all()
            and (ends.max(axis=0) + above * above * per_square <= self._inner_max).all()
            and (ends.min(axis=0) - below * below * per_square >= self._inner_min).all()
        )

    def _extremes(self, v: Array, a: Array) -> tuple[Array, Array]:
        """Highest and lowest velocity inside each tick, both [rows - 1, n]."""
        top, bottom = np.maximum(v[:-1], v[1:]), np.minimum(v[:-1], v[1:])
        turning = a[:-1] * a[1:] < 0.0
        if turning.any():
            before = a[:-1][turning]
            change = a[1:][turning] - before
            peak = v[:-1][turning] - before * before * (0.5 * self._dt) / change
            top[turning] = np.maximum(top[turning], peak)
            bottom[turning] = np.minimum(bottom[turning], peak)
        return top, bottom

    def _range(self, q: Array, v: Array, a: Array) -> Reason:
        # Rounding counts from the limit, never from where the last tick's has led.
        low = np.minimum(self._robot.position_min - 0.5 * ROUNDING, q[0])
        high = np.maximum(self._robot.position_max + 0.5 * ROUNDING, q[0])
        if not ((q >= low) & (q <= high)).all():
            return Reason.JOINT_POSITION
        near = (q < low + self._excursion) | (q > high - self._excursion)
        near = near[:-1] | near[1:]
        near &= v[:-1] * v[1:] < 0.0
        if not near.any():
            return NONE
        # A joint that turns round inside the tick: where v + a t + j t^2 / 2 = 0.
        tick, joint = np.nonzero(near)
        q0, v0, a0 = q[tick, joint], v[tick, joint], a[tick, joint]
        j = (a[tick + 1, joint] - a0) / self._dt
        root = np.sqrt(np.maximum(a0 * a0 - 2.0 * j * v0, 0.0))
        # The root inside the tick, in the form that does not cancel.
        t = -2.0 * v0 / (a0 + np.where(a0 + np.sign(-v0) * root == 0.0, 1.0, np.sign(-v0) * root))
        t = np.clip(t, 0.0, self._dt)
        turn = q0 + t * (v0 + t * (a0 / 2.0 + t * j / 6.0))
        if not ((turn >= low[joint]) & (turn <= high[joint])).all():
            return Reason.JOINT_POSITION
        return NONE

    def _tool_point(self, q: Array, v: Array, levers: Array, rows: set[int]) -> Reason:
        here, jacobian = self._clearance.point(q[0], self._frame)
        moves = float((np.abs(q[1:] - q[0]) @ levers).max())
        if self._inside(here, moves) and self._plainly_slow(q, v, jacobian, levers):
            return NONE
        points = np.concatenate([here[None], self._kinematics.tool_points(q[1:])])
        reasons = NONE
        if self._box is not None:
            before = points[:-1]
            low = np.minimum(self._lower, before) - ROUNDING
            high = np.maximum(self._upper, before) + ROUNDING
            inside = ((points[1:] >= low) & (points[1:] <= high)).all(axis=1)
            if not inside.all():
                reasons |= Reason.WORKSPACE
                rows.update(np.flatnonzero(~inside).tolist())
        if self._speed is not None:
            fastest = self._fastest_row(points)
            if fastest is not None:
                reasons |= Reason.TOOL_SPEED
                rows.add(fastest)
        return reasons

    def _fastest_row(self, points: Array) -> int | None:
        """The plan's row in which the tool is fastest, if it is too fast there: by its way in
        each tick, and over two ticks around each knot."""
        assert self._speed is not None
        steps = points[1:] - points[:-1]
        squares = (steps * steps).sum(axis=1)
        both = steps[1:] + steps[:-1]
        squares[:-1] = np.maximum(squares[:-1], 0.25 * (both * both).sum(axis=1))
        fastest = int(np.argmax(squares))
        most = SPEED_SHARE * self._speed * self._dt
        return None if squares[fastest] <= most * most else fastest

    def _plainly_slow(self, q: Array, v: Array, jacobian: Array, levers: Array) -> bool:
        """A cheap bound on the tool's speed: a column of the Jacobian (its lever long at most)
        changes by no more than the joints turn. A tenth is left for what happens in a tick."""
        if self._speed is None:
            return True
        head = v[: self._head]
        speeds = jacobian @ head.T
        fastest = float(np.sqrt((speeds * speeds).sum(axis=0).max()))
        turned = float(np.abs(q - q[0]).sum(axis=1).max())
        bound = fastest + turned * float((np.abs(head) @ levers).max())
        return bound <= 0.9 * self._speed

    def _inside(self, point: Array, moves: float) -> bool:
        if self._box is None:
            return True
        room = min(float((point - self._lower).min()), float((self._upper - point).min()))
        return moves <= room

    def _height(self, q: Array, v: Array, a: Array, rows: set[int]) -> Reason:
        body = self._body
        assert body is not None
        here = float(self._clearance.heights(q[:1], self._feet).max())
        moves = float((np.abs(q - q[0]) @ self._foot_levers.T).max())
        if moves <= min(here - body.height_min, body.height_max - here):
            return NONE
        heights = self._clearance.heights(q, self._feet)
        sag = self._sag(v, a)
        # Outside already, as when the robot was armed lying down: then not further out.
        low = (body.height_min + sag if here >= body.height_min else here) - ROUNDING
        high = (body.height_max - sag if here <= body.height_max else here) + ROUNDING
        # In each tick there has to be one foot that stays low enough; none may be too low.
        lowest = np.minimum(heights[:-1], heights[1:]).max(axis=1)
        inside = (lowest >= low) & (heights[1:].max(axis=1) <= high)
        if inside.all():
            return NONE
        rows.update(np.flatnonzero(~inside).tolist())
        return Reason.BODY

    def _sag(self, v: Array, a: Array) -> float:
        """How far a foot's path may leave the straight line between two knots, m."""
        levers = self._foot_levers
        fastest = np.abs(v[: self._head]).max(axis=0)
        bend = levers @ np.abs(a[: self._head]).max(axis=0)
        bend += (levers @ fastest) * ((levers > 0.0) @ fastest)
        return float(bend.max()) * self._dt**2 / 8.0
