"""The pairs of parts that are closest to each other, for people to look at."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pinocchio
from numpy.typing import NDArray

from vla_rl_nodes.robots.model import Robot
from vla_rl_nodes.safety.geometry import build_shape
from vla_rl_nodes.safety.limits import SafetyLimits

Array = NDArray[np.float64]


class Close(NamedTuple):
    """A pair of parts: its names, distance and margin in m, the nearest points [3] of both."""

    names: tuple[str, str]
    distance: float
    margin: float
    points: tuple[Array, Array]


class Distances:
    """Measures what the filter keeps apart; not for use from several threads.

    Args:
        robot: its URDF's primitives.
        limits: planes, obstacles and margins.
    """

    def __init__(self, robot: Robot, limits: SafetyLimits) -> None:
        shape = build_shape(robot, limits)
        self._model, self._geometry, self._pairs = shape.model, shape.geometry, shape.pairs
        self._data = self._model.createData()
        self._shapes = pinocchio.GeometryData(self._geometry)

    def closest(self, q: Array, most: int) -> list[Close]:
        """The pairs with the least room over their margins at ``q`` [n], the closest first."""
        if not self._pairs:
            return []
        pinocchio.computeDistances(self._model, self._data, self._geometry, self._shapes, q)
        results = self._shapes.distanceResults
        found = [
            Close(
                pair.names, float(result.min_distance), pair.margin,
                (np.array(result.getNearestPoint1()), np.array(result.getNearestPoint2())),
            )
            for pair, result in zip(self._pairs, results, strict=True)
        ]  # fmt: skip
        found.sort(key=lambda close: close.distance - close.margin)
        return found[:most]
