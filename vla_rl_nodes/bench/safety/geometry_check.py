"""Checks of where the robot is: workspace, tool speed, clearances, height of the trunk."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.bench.safety.bounds import Bounds
from vla_rl_nodes.bench.safety.knots import Broken
from vla_rl_nodes.bench.safety.surroundings import Rooms, Surroundings

Array = NDArray[np.float64]

# What a place may be beyond its bound by: the filter decides at knots, with distances that are
# found iteratively; between two knots the parts move on slightly curved lines.
KNOT, BETWEEN = 1e-4, 1e-3  # m
SPEED = 1e-3  # of the tool's speed limit
CLOSE = 0.005  # m of room: the tails of such ticks are always looked at


class Samples(NamedTuple):
    """Configurations to look at: q, v [m, n], the gripper's opening [m], since which arming [m],
    and at which tick."""

    q: Array
    v: Array
    width: Array
    segment: NDArray[np.int64]
    ticks: list[int]


class GeometryCheck:
    """Holds configurations against the geometric bounds.

    What is beyond a bound when the filter is armed must not go further beyond it: each arming
    begins a segment with floors of its own.
    """

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self.surroundings = Surroundings(bounds)
        self._new: dict[int, tuple[Array, float]] = {}
        self._floors: dict[int, Rooms] = {}
        self._segments = 0

    def begin(self, q: Array, width: float) -> int:
        """A new segment from ``q`` [n]; its number."""
        self._new[self._segments] = (q, width)
        self._segments += 1
        return self._segments - 1

    def forget(self, before: int) -> None:
        """Segments before this one have ended."""
        self._floors = {key: value for key, value in self._floors.items() if key >= before}

    def check(self, samples: Samples, knots: bool) -> tuple[list[Broken], NDArray[np.bool_]]:
        """What is broken, and [m] whether a place is close to anything."""
        self._fill()
        bounds, slack = self._bounds, KNOT if knots else BETWEEN
        rooms = self.surroundings.rooms(samples.q, samples.width, samples.v)
        segments, which = np.unique(samples.segment, return_inverse=True)
        floors = [self._floors[int(i)] for i in segments]
        broken: list[Broken] = []
        pairs = np.stack([floor.pairs[0] for floor in floors])[which]
        for row, pair in np.argwhere(rooms.pairs < pairs - slack):
            excess = pairs[row, pair] - rooms.pairs[row, pair]
            kind, name = self.surroundings.kinds[pair], self.surroundings.names[pair]
            broken.append(Broken(kind, int(row), float(excess), name))
        box = np.stack([floor.box[0] for floor in floors])[which]
        for row, face in np.argwhere(rooms.box < box - slack):
            excess = box[row, face] - rooms.box[row, face]
            name = ("-x", "-y", "-z", "+x", "+y", "+z")[face]
            broken.append(Broken("workspace", int(row), float(excess), name))
        if bounds.tool_speed is not None:
            fast = rooms.speed - bounds.tool_speed * (1.0 + SPEED)
            broken += [
                Broken("tool_speed", int(row), float(fast[row]), "tool")
                for row in np.flatnonzero(fast > 0.0)
            ]
        if bounds.height is not None:
            first = np.array([floor.height[0] for floor in floors])[which]
            low = np.minimum(bounds.height[0], first) - rooms.height
            high = rooms.height - np.maximum(bounds.height[1], first)
            out = np.maximum(low, high) - slack
            broken += [
                Broken("height", int(row), float(out[row] + slack), "trunk")
                for row in np.flatnonzero(out > 0.0)
            ]
        rooms_left = np.concatenate([rooms.pairs, rooms.box], axis=1)
        return broken, np.asarray((rooms_left < CLOSE).any(axis=1))

    def _fill(self) -> None:
        """Floors of the segments that began since: 0 where there was room."""
        if not self._new:
            return
        starts = list(self._new.values())
        q, width = np.array([s[0] for s in starts]), np.array([s[1] for s in starts])
        rooms = self.surroundings.rooms(q, width)
        # Fingers count as one body: where one of them is, the other may come to be.
        pairs = self.surroundings.swept_pairs(q)
        for i, segment in enumerate(self._new):
            self._floors[segment] = Rooms(
                np.minimum(pairs[i : i + 1], 0.0),
                np.minimum(rooms.box[i : i + 1], 0.0),
                rooms.speed[i : i + 1],
                rooms.height[i : i + 1],
            )
        self._new.clear()
