"""Whether a way may be gone, by the safety filter's own geometry, before anything moves."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.robots.kinematics import Kinematics
from vla_rl_nodes.robots.model import Robot
from vla_rl_nodes.safety.clearance import Clearance
from vla_rl_nodes.safety.limits import SafetyLimits
from vla_rl_nodes.safety.reasons import Reason, reason_names
from vla_rl_nodes.safety.targets.stance import Stance

Array = NDArray[np.float64]

STEP = 0.04  # rad of the joint that moves farthest, between two stances that are looked at
BOX = 5e-5  # m that the tool may be out of its box; the filter lets it be twice as far
RANGE = 1e-9  # rad
EXTRA = 0.001  # m, kept by a search on top of the filter's margins


class WayCheck:
    """The checks of one robot among one set of limits; not for use from several threads.

    Args:
        robot: joint ranges and shapes.
        kinematics: the tool's place.
        limits: box, planes, obstacles, margins.
    """

    def __init__(self, robot: Robot, kinematics: Kinematics, limits: SafetyLimits) -> None:
        self._robot, self._kinematics, self._limits = robot, kinematics, limits
        self._clearance = Clearance(robot, limits)
        self._stance = Stance(robot, self._clearance, limits)
        self._least = self._clearance.reserved(limits.workspace_tolerance)
        self._begun: tuple[Array, Array] | None = None  # where a search begins, and its floor

    def problem(self, way: Array) -> str:
        """Why a way [k, n] of straight pieces may not be gone, in words; empty where it may.

        What is outside already at its beginning must not go further out, and stays inside once
        it is: as the filter sees it.
        """
        path = finer(way)
        for before, q in pairwise(path):
            self._stance.begin(before)
            reasons = self._out_of_range(before, q) | self._stance.problems(q, BOX)
            if reasons:
                return self._words(q, reasons)
        if len(path) > 1:
            self._clearance.restart(path[0])
            close = self._clearance.too_close(path)
            if close is not None:
                return self._words(path[close.rows[0]], close.reasons)
        return ""

    def standing(self, q: Array) -> str:
        """Why the robot may not stand at ``q`` [n], wherever it came from; empty where it may."""
        if not np.isfinite(q).all():
            return "a joint's position is not finite"
        reasons = self._out_of_range(None, q)
        close = self._clearance.distances(q) < self._least
        for pair in np.flatnonzero(close).tolist():
            reasons |= self._clearance.reasons[pair]
        if not self._in_box(q, None):
            reasons |= Reason.WORKSPACE
        return self._words(q, reasons) if reasons else ""

    def free(self, path: Array, start: Array) -> bool:
        """Whether a search that begins at ``start`` [n] may pass through every row of ``path``
        [m, n]; a little more strictly than :meth:`problem`, so that its ways pass there too."""
        inside = (path >= self._robot.position_min) & (path <= self._robot.position_max)
        if not inside.all():
            return False
        floor = self._floor(start)
        return all(
            self._in_box(q, start) and bool((self._clearance.distances(q) >= floor).all())
            for q in path
        )

    def _floor(self, start: Array) -> Array:
        if self._begun is None or not np.array_equal(self._begun[0], start):
            measured = self._clearance.distances(start)
            self._begun = start.copy(), np.minimum(self._least + EXTRA, measured)
        return self._begun[1]

    def _in_box(self, q: Array, start: Array | None) -> bool:
        box = self._limits.workspace
        if box is None or not self._kinematics.has_tool:
            return True
        lower, upper = box.lower, box.upper
        if start is not None:
            begun = self._kinematics.fk(start).position
            lower, upper = np.minimum(lower, begun), np.maximum(upper, begun)
        point = self._kinematics.fk(q).position
        return bool(((point >= lower) & (point <= upper)).all())

    def _out_of_range(self, before: Array | None, q: Array) -> Reason:
        low, high = self._robot.position_min, self._robot.position_max
        if before is not None:
            low, high = np.minimum(low, before), np.maximum(high, before)
        inside = (q >= low - RANGE) & (q <= high + RANGE)
        return Reason(0) if inside.all() else Reason.JOINT_POSITION

    def _words(self, q: Array, reasons: Reason) -> str:
        if Reason.JOINT_POSITION in reasons:
            out = np.maximum(self._robot.position_min - q, q - self._robot.position_max)
            return f"{self._robot.joints[int(np.argmax(out))]} would leave its range"
        if reasons & (Reason.COLLISION | Reason.SELF_COLLISION):
            distances = self._clearance.distances(q)
            worst = int(np.argmin(distances - self._least))
            one, other = self._clearance.names[worst]
            return (
                f"{one} would come within {1e3 * distances[worst]:.0f} mm of {other},"
                f" {1e3 * self._least[worst]:.1f} mm are kept"
            )
        if Reason.WORKSPACE in reasons and self._kinematics.has_tool:
            x, y, z = self._kinematics.fk(q).position
            return f"the tool would be outside the workspace at ({x:.2f}, {y:.2f}, {z:.2f}) m"
        return ", ".join(reason_names(reasons))


def finer(way: Array, step: float = STEP) -> Array:
    """The way with points between, no joint moving more than ``step`` rad from one to the next."""
    rows = [way[:1]]
    for a, b in pairwise(way):
        parts = max(int(np.ceil(np.abs(b - a).max() / step)), 1)
        rows.append(a + (b - a) * (np.arange(1, parts + 1) / parts)[:, None])
    return np.concatenate(rows)
