"""The true projection, found offline: a nonlinear programme over the joint positions."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pinocchio
from scipy.optimize import minimize

from vla_rl_nodes.safety.targets.stance import SAG

from .scenes import PERIOD, Array, Scene

STEP = 5e-4  # rad, of numerical derivatives; distances are known to some 1e-6 m
SCALE = 1e3  # errors in mm and limits in dm make a programme whose numbers are all near 1
FEASIBLE = 2e-6  # m and rad, to which the limits are kept


class Pose:
    """Position [3], m, and rotation [3, 3]."""

    def __init__(self, position: Array, rotation: Array) -> None:
        self.position, self.rotation = position, rotation

    def error(self, other: Pose, length: float) -> Array:
        """What leads to another pose [6], m; rotations times ``length``."""
        turn = pinocchio.log3(other.rotation @ self.rotation.T)
        return np.concatenate([other.position - self.position, length * turn])


class Limits:
    """All that a target at rest is held to, as slacks that must not be negative, m and rad.

    Args:
        scene: robot and limits.
        q0: where the robot rests; what is outside there must not go further out.
        bare: margins without the reserve that targets keep for the motion between them.
    """

    def __init__(self, scene: Scene, q0: Array, bare: bool = False) -> None:
        self.scene, self.q0 = scene, q0
        robot, limits = scene.robot, scene.limits
        self._reserve = 0.0 if bare else limits.workspace_tolerance
        self._sag = 0.0 if bare else SAG
        self._margins = scene.clearance.reserved(self._reserve)
        self._floor = np.minimum(scene.clearance.distances(q0) - self._margins, 0.0)
        self._tool = robot.tool_frame is not None
        self._start = scene.kinematics.fk(q0).position if self._tool else np.zeros(3)

    def ranges(self, q: Array) -> Array:
        """To the joints' ends [2n], rad."""
        robot = self.scene.robot
        return np.concatenate([q - robot.position_min, robot.position_max - q])

    def velocities(self, q: Array) -> Array:
        """To what the joints cover in a control period at most [2n], rad."""
        slowest, fastest = self.scene.robot.velocity_bounds(q)
        share, move = self.scene.limits.velocity_scale * PERIOD, q - self.q0
        return np.concatenate([move - slowest * share, fastest * share - move])

    def distances(self, q: Array) -> Array:
        """To the margins [pairs], m."""
        rooms: Array = self.scene.clearance.distances(q) - self._margins - self._floor
        return rooms

    def box(self, q: Array) -> Array:
        """To the faces of the workspace [6], m."""
        box = self.scene.limits.workspace
        if box is None or not self._tool:
            return np.empty(0)
        point = self.scene.kinematics.fk(q).position
        low, high = np.minimum(box.lower, self._start), np.maximum(box.upper, self._start)
        return np.concatenate([point - low, high - point])

    def speed(self, q: Array) -> Array:
        """To how far the tool goes in a control period at most [1], m."""
        most = self.scene.limits.tool_speed_max
        if most is None or not self._tool:
            return np.empty(0)
        way = self.scene.kinematics.fk(q).position - self._start
        return np.array([most * PERIOD - np.linalg.norm(way)])

    def height(self, q: Array) -> Array:
        """Of the trunk above its lowest foot, to its limits [2], m."""
        body = self.scene.limits.body
        if body is None:
            return np.empty(0)
        now, start = (
            max(-self.scene.kinematics.fk(at, foot).position[2] for foot in self.scene.robot.feet)
            for at in (q, self.q0)
        )
        low = min(body.height_min + self._sag, start)
        high = max(body.height_max - self._sag, start)
        return np.array([now - low, high - now])

    def all(self, q: Array) -> Array:
        """All slacks in a row."""
        parts = (self.ranges, self.velocities, self.distances, self.box, self.speed, self.height)
        return np.concatenate([part(q) for part in parts])


def slope(function: Callable[[Array], Array], q: Array) -> Array:
    """Numerical derivative [m, n] of a function of the joint positions."""
    columns, here = [], function(q)
    for joint in range(len(q)):
        step = np.zeros(len(q))
        step[joint] = STEP
        columns.append((function(q + step) - here) / STEP)
    return np.stack(columns, axis=-1)


def nearest(
    error: Callable[[Array], Array],
    limits: Limits,
    starts: list[Array],
    level: Callable[[Array], Array] | None = None,
) -> float:
    """Least length of ``error(q)`` inside the limits that SLSQP finds from several starts.

    It is an upper bound of the true least, and as a rule the true one. A start that is inside
    counts too.

    Args:
        error: [k] of joint positions, m or rad.
        limits: to keep.
        starts: joint positions [n] to start from.
        level: must be zero.
    """
    best = np.inf
    for start in starts:
        near = limits.all(start) < 0.15  # others cannot be met within a control period
        constraints = [
            {
                "type": "ineq",
                "fun": lambda q, near=near: limits.all(q)[near] * SCALE,
                "jac": lambda q, near=near: slope(lambda p: limits.all(p)[near] * SCALE, q),
            }
        ]
        if level is not None:
            constraints.append(
                {
                    "type": "eq",
                    "fun": lambda q: level(q) * SCALE,
                    "jac": lambda q: slope(lambda p: level(p) * SCALE, q),
                }
            )

        def cost(q: Array) -> float:
            found = error(q) * SCALE
            return float(found @ found)

        def gradient(q: Array) -> Array:
            return 2.0 * SCALE**2 * (slope(error, q).T @ error(q))

        found = minimize(
            cost, start, jac=gradient, method="SLSQP", constraints=constraints,
            options={"ftol": 1e-10, "maxiter": 60},
        )  # fmt: skip
        for q in (start, found.x):
            if not np.isfinite(q).all() or limits.all(q).min() < -FEASIBLE:
                continue
            if level is None or np.abs(level(q)).max() < FEASIBLE:
                best = min(best, float(np.linalg.norm(error(q))))
    return best
