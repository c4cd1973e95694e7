"""The commanded motion: follows the reference, and always keeps a verified stop."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.robots.kinematics import Kinematics
from vla_rl_nodes.robots.model import Robot
from vla_rl_nodes.robots.rotation import turned_towards
from vla_rl_nodes.safety.limits import SafetyLimits
from vla_rl_nodes.safety.reference import Reference
from vla_rl_nodes.safety.stop import Stop, StopCheck, stopping_path
from vla_rl_nodes.safety.tracker import chase

Array = NDArray[np.float64]

NEAR = 0.02  # m, how far ahead along the tool's straight line the second choice looks
REST = 1e-9  # rad/s


class Motion:
    """What is commanded to an arm, one filter tick at a time; begins at rest.

    Args:
        robot: joint limits.
        kinematics: gives the tool point.
        limits: scales, workspace, gripper speed.
        dt: the filter's period, s.
        reference: what to follow.
        q: where the arm is [n], rad.
        point: where its tool is [3], m.
    """

    def __init__(
        self,
        robot: Robot,
        kinematics: Kinematics,
        limits: SafetyLimits,
        dt: float,
        reference: Reference,
        q: Array,
        point: Array,
    ) -> None:
        self.reference = reference
        self.q = q.copy()
        self.tail = Stop(self.q[np.newaxis], point[np.newaxis])
        self.width: float | None = None if robot.gripper is None else reference.width
        self.newly_unverified = False
        self._unverified = False
        self._velocity, self._point = np.zeros(len(q)), point
        self._robot, self._kinematics, self._dt = robot, kinematics, dt
        self._acceleration = robot.acceleration_max * limits.acceleration_scale
        self._velocity_scale = limits.velocity_scale
        self._box, self._tolerance = limits.workspace, limits.workspace_tolerance
        self._check = StopCheck(robot, kinematics, limits, dt)
        speed = limits.gripper_speed
        if robot.gripper is not None:
            speed = min(speed, robot.gripper.speed_max)
        self._width_step = speed * dt

    @property
    def at_rest(self) -> bool:
        """Whether the last tick commanded no motion and none is left to brake."""
        return float(np.abs(self._velocity).max()) < REST

    def follow(self) -> bool:
        """One tick towards the reference; whether its own stop could be verified.

        When it cannot, the stored stop is followed.
        """
        target = self.reference.advance()
        verified = None
        for velocity in self._choices(target):
            q = self.q + velocity * self._dt
            path = np.vstack([q, stopping_path(q, velocity, self._dt, self._acceleration)])
            verified = self._check.verified(self.q, self._velocity, self._point, path)
            if verified is not None:
                break
        self._take(self.tail if verified is None else verified)
        if self.width is not None:
            step = self.reference.width - self.width
            self.width += min(max(step, -self._width_step), self._width_step)
        unverified = verified is None
        self.newly_unverified = unverified and not self._unverified
        self._unverified = unverified
        return not unverified

    def stop(self) -> None:
        """One tick of the stored stop; the gripper stays as it is."""
        self._take(self.tail)

    def _choices(self, target: Array) -> Iterator[Array]:
        """Velocities for this tick, the best first; each costs a check only if it is asked for.

        Straight to the target in joint space; else, since that line bulges and a wall of the
        workspace may be in its way, to a point a little ahead on the tool's straight line,
        which cannot leave the box; else half way between that and the stored stop.
        """
        yield self._velocity_to(target)
        near = self._near(target)
        if near is not None:
            velocity = self._velocity_to(near)
            yield velocity
            yield 0.5 * (velocity + (self.tail.path[0] - self.q) / self._dt)

    def _near(self, target: Array) -> Array | None:
        """Joint positions a little ahead on the straight line of the tool to ``target``.

        A tool that has drifted out of the box, within the tolerance, is drawn back into it.
        """
        here, goal = self._kinematics.fk(self.q), self._kinematics.fk(target)
        way = goal.position - here.position
        share = min(0.5, NEAR / max(float(np.sqrt(way @ way)), NEAR))
        position = here.position + share * way
        back = np.clip(position, self._box.lower, self._box.upper) - position
        drifted = np.abs(back) <= self._tolerance
        result = self._kinematics.solve(
            self.q,
            position + np.where(drifted, back, 0.0),
            turned_towards(here.rotation, goal.rotation, share),
            posture=target,
            iterations=4,
        )
        return result.q if result.converged else None

    def _velocity_to(self, target: Array) -> Array:
        robot, scale = self._robot, self._velocity_scale
        error = target - self.q
        lower, upper = robot.velocity_bounds(self.q)
        free = chase(
            error, self._velocity, self._dt, self._acceleration, lower * scale, upper * scale
        )
        # The limits hold where the tick ends, which is what the first guess is for.
        lower, upper = robot.velocity_bounds(self.q + free * self._dt)
        return chase(
            error, self._velocity, self._dt, self._acceleration, lower * scale, upper * scale
        )

    def _take(self, stop: Stop) -> None:
        """Commands the first row of a verified stop and stores the rest."""
        q, point = stop.path[0], stop.points[0]
        self._velocity = (q - self.q) / self._dt
        self.q, self._point = q, point
        if len(stop.path) > 1:
            self.tail = Stop(stop.path[1:], stop.points[1:])
        else:
            self.tail = stop
