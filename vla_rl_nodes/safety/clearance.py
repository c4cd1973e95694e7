"""Distances between the robot's parts, and to planes and obstacles, along a motion."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pinocchio
from numpy.typing import NDArray

from vla_rl_nodes.robots.model import Robot
from vla_rl_nodes.safety.geometry import build_shape, flat_pairs, frame_levers
from vla_rl_nodes.safety.limits import SafetyLimits
from vla_rl_nodes.safety.reasons import Reason

Array = NDArray[np.float64]

ANCHORS = 3  # configurations whose distances are remembered
FLAT = 0.02  # m, above a box's lowest corner: these corners are looked at too
STRIDE = 0.012  # m a pair may move between two measurements, at most
MOST_PARTS = 6  # of a tick
ROUNDING = 2e-6  # m, to which distances are found iteratively


class Rows(NamedTuple):
    """Linearised distances: ``room + jacobian @ dq >= 0`` keeps the margins.

    Attributes:
        jacobian: [m, n], m/rad.
        room: [m] distance less margin, m.
        reasons: of each row.
        pairs: [m] index of each row's pair.
    """

    jacobian: Array
    room: Array
    reasons: tuple[Reason, ...]
    pairs: NDArray[np.intp]


class TooClose(NamedTuple):
    """Where a path comes too close: its rows, and why."""

    rows: tuple[int, ...]
    reasons: Reason


class Clearance:
    """What must keep its distance, for one robot; not for use from several threads.

    Distances are measured (pinocchio and coal) where they have to be. Elsewhere a bound serves:
    a distance cannot change faster than the levers of the joints allow, so one measurement
    covers all configurations near it.

    Args:
        robot: its URDF's primitives.
        limits: margins, planes, obstacles.

    Raises:
        InputError: see :func:`~vla_rl_nodes.safety.geometry.build_shape`.
    """

    def __init__(self, robot: Robot, limits: SafetyLimits) -> None:
        shape = build_shape(robot, limits)
        self._model, self._geometry = shape.model, shape.geometry
        self._data = self._model.createData()
        self._shapes = pinocchio.GeometryData(self._geometry)
        self._joints = [pair.joints for pair in shape.pairs]
        self._masks = [self._mask(a) for a in range(self._model.njoints)]
        self.names = tuple(pair.names for pair in shape.pairs)
        self.reasons = tuple(pair.reason for pair in shape.pairs)
        self.margins: Array = np.array([pair.margin for pair in shape.pairs])
        self._levers = np.array([pair.levers for pair in shape.pairs]).reshape(-1, self._model.nv)
        self._anchors: list[tuple[Array, Array]] = []
        self._floor = np.zeros(len(shape.pairs)) - ROUNDING
        self._flat = flat_pairs(shape)

    def restart(self, q: Array) -> None:
        """A motion begins at ``q`` [n]: what is closer than its margin there must not come closer,
        and keeps the margin once it has it."""
        self._anchors = [(q.copy(), self.distances(q) - self.margins)]
        self._floor = np.minimum(self._anchors[0][1], 0.0) - ROUNDING

    def levers(self, frame: str) -> Array:
        """[n] bound of how far the origin of a frame moves for 1 rad of each joint, m/rad."""
        return frame_levers(self._model, frame)

    def point(self, q: Array, frame: str) -> tuple[Array, Array]:
        """Origin [3] of a frame at ``q`` [n], in the base frame, m, and its Jacobian [3, n]."""
        model, data, index = self._model, self._data, self._model.getFrameId(frame)
        jacobian = pinocchio.computeFrameJacobian(
            model, data, q, index, pinocchio.LOCAL_WORLD_ALIGNED
        )
        return pinocchio.updateFramePlacement(model, data, index).translation.copy(), jacobian[:3]

    def heights(self, path: Array, frames: tuple[str, ...]) -> Array:
        """[m, frames] height of the base's origin above each frame's, along the base's z, m."""
        model, data = self._model, self._data
        indices = [model.getFrameId(frame) for frame in frames]
        heights = np.empty((len(path), len(frames)))
        for row, q in zip(heights, path, strict=True):
            pinocchio.forwardKinematics(model, data, q)
            for k, index in enumerate(indices):
                row[k] = -pinocchio.updateFramePlacement(model, data, index).translation[2]
        return heights

    def distances(self, q: Array) -> Array:
        """Distance [pairs] of every pair at ``q`` [n], m; negative where two overlap."""
        pinocchio.computeDistances(self._model, self._data, self._geometry, self._shapes, q)
        return np.array([result.min_distance for result in self._shapes.distanceResults])

    def reserved(self, reserve: float) -> Array:
        """The margins [pairs] with a reserve on top, which never more than doubles one, m."""
        return self.margins + np.minimum(self.margins, reserve)

    def rooms(self, q: Array, reserve: float, within: float) -> Array | None:
        """Distances less the reserved margins [pairs] at ``q``, m; None where all of them are
        known to be more than ``within``."""
        needed = self._levers @ np.abs(q - self._anchors[-1][0]) if self._anchors else None
        if needed is not None and (self._anchors[-1][1] - needed >= within + reserve).all():
            return None
        self._anchor(q)
        room: Array = self._anchors[-1][1] + self.margins - self.reserved(reserve)
        return room

    def rows(self, q: Array, within: float, reserve: float = 0.0) -> Rows:
        """The pairs whose distance exceeds their margin and a reserve by less than ``within``,
        linearised."""
        for at, measured in self._anchors:
            if (measured - self._levers @ np.abs(q - at) >= within + reserve).all():
                return Rows(np.empty((0, self._model.nv)), np.empty(0), (), np.empty(0, int))
        least = self.reserved(reserve)
        room = self.distances(q) - least
        pinocchio.computeJointJacobians(self._model, self._data)
        jacobians: list[Array] = []
        rooms: list[float] = []
        pairs: list[int] = []
        for index in np.flatnonzero(room < within).tolist():
            found = (
                self._low_corners(*self._flat[index], self._joints[index][0])
                if index in self._flat
                else [(self._gradient(index), float(room[index] + least[index]))]
            )
            jacobians += [jacobian for jacobian, _ in found]
            rooms += [distance - float(least[index]) for _, distance in found]
            pairs += [index] * len(found)
        return Rows(
            np.array(jacobians).reshape(-1, self._model.nv), np.array(rooms),
            tuple(self.reasons[index] for index in pairs), np.array(pairs, dtype=int),
        )  # fmt: skip

    def _gradient(self, index: int) -> Array:
        """[n] change of a pair's distance with the joints, at its nearest points."""
        result = self._shapes.distanceResults[index]
        one, other = result.getNearestPoint1(), result.getNearestPoint2()
        normal = other - one
        length = float(np.sqrt(normal @ normal))
        if result.min_distance > 1e-6 and length > 1e-9:
            normal = normal / length
        else:
            normal = np.asarray(result.normal)  # touching, or overlapping
        gradient = np.zeros(self._model.nv)
        for sign, point, joint in zip((-1.0, 1.0), (one, other), self._joints[index], strict=True):
            gradient += sign * self._along(normal, point, joint)
        return gradient

    def _along(self, normal: Array, point: Array, joint: int) -> Array:
        """[n] speed along ``normal`` of a point [3] that moves with ``joint``, m/rad."""
        if joint == 0:
            return np.zeros(self._model.nv)
        linear, angular = self._data.J[:3], self._data.J[3:]
        speed: Array = normal @ linear + np.cross(point, normal) @ angular
        return speed * self._masks[joint]

    def _low_corners(
        self, corners: Array, normal: Array, offset: float, joint: int
    ) -> list[tuple[Array, float]]:
        """Gradient and height over a plane of a box's corners, of those that are about lowest:
        a face that lies flat over the plane tilts into it with any of them."""
        placement = self._data.oMi[joint]
        points = corners @ placement.rotation.T + placement.translation
        heights = points @ normal - offset
        low = np.flatnonzero(heights < heights.min() + FLAT).tolist()
        return [(self._along(normal, points[k], joint), float(heights[k])) for k in low]

    def too_close(self, path: Array) -> TooClose | None:
        """Whether a motion through the rows of ``path`` [m, n] breaks a margin; None: it does
        not.

        Between two rows each joint moves monotonically, or nearly so.
        """
        if not self.names:
            return None
        clear = np.zeros((len(path) - 1, len(self.names)), dtype=bool)
        for q, room in self._anchors:
            clear |= self._covered(path, q, room)
            if clear.all():
                return None
        self._anchor(path[-1])
        clear |= self._covered(path, *self._anchors[-1])
        if clear.all():
            return None
        self._anchor(path[0])
        self._floor = np.maximum(self._floor, np.minimum(self._anchors[-1][1], 0.0) - ROUNDING)
        clear |= self._covered(path, *self._anchors[-1])
        return self._measured(path, ~clear)

    def _anchor(self, q: Array) -> None:
        room = self.distances(q) - self.margins
        self._anchors = [*self._anchors[1 - ANCHORS :], (q.copy(), room)]

    def _covered(self, path: Array, q: Array, room: Array) -> NDArray[np.bool_]:
        """[m - 1, pairs]: steps of the path in which a pair cannot have used up its room."""
        away = np.abs(path - q)
        farthest = np.maximum(away[:-1], away[1:])
        covered: NDArray[np.bool_] = farthest @ self._levers.T <= room
        return covered

    def _measured(self, path: Array, doubtful: NDArray[np.bool_]) -> TooClose | None:
        """Measures the doubtful pairs where each doubtful step ends, and on its way where the
        pair may move far in it."""
        rows: list[int] = []
        reasons = Reason(0)
        steps = np.flatnonzero(doubtful.any(axis=1))
        moves = np.abs(path[steps + 1] - path[steps]) @ self._levers.T
        for step, moved in zip(steps, moves, strict=True):
            pairs = np.flatnonzero(doubtful[step])
            parts = min(int(moved[pairs].max() / STRIDE) + 1, MOST_PARTS)
            for part in range(parts, 0, -1):
                q = path[step] + (path[step + 1] - path[step]) * (part / parts)
                found = self._closer(q, pairs)
                if found:
                    reasons |= found
                    rows.append(int(step) + 1)
                    break
        return TooClose(tuple(rows), reasons) if rows else None

    def _closer(self, q: Array, pairs: NDArray[np.intp]) -> Reason:
        """Why any of some pairs is too close at ``q`` [n]."""
        pinocchio.updateGeometryPlacements(
            self._model, self._data, self._geometry, self._shapes, q
        )
        reasons = Reason(0)
        for pair in pairs.tolist():
            found = pinocchio.computeDistance(self._geometry, self._shapes, pair).min_distance
            # Asks for what is allowed, so that NaN is not.
            if not found - self.margins[pair] >= self._floor[pair]:
                reasons |= self.reasons[pair]
        return reasons

    def _mask(self, joint: int) -> Array:
        mask = np.zeros(self._model.nv)
        for j in self._model.supports[joint]:
            if j > 0:
                mask[self._model.joints[int(j)].idx_v] = 1.0
        return mask
