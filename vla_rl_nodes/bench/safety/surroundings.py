"""Where the robot's parts are at many configurations: its tool, its trunk, its clearances."""

from __future__ import annotations

from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.bench.safety.bounds import Bounds
from vla_rl_nodes.bench.safety.chain import Chain, Frame, Placed
from vla_rl_nodes.bench.safety.distance import distance, plane_distance
from vla_rl_nodes.bench.safety.fingers import finger_links, swept
from vla_rl_nodes.bench.safety.shapes import Shape, Solid, placed, read_shapes

Array = NDArray[np.float64]

LOOK = 0.008  # m of room over the margin, beyond which none is computed exactly


class Rooms(NamedTuple):
    """What is left, at m configurations.

    Attributes:
        pairs: [m, pairs] distance less margin, m; above ``LOOK`` not exact.
        box: [m, 6] from the tool point to the lower and upper faces of the workspace with its
            tolerance, m; negative outside; empty without a workspace or a tool.
        speed: [m] of the tool point, m/s; 0 without a tool.
        height: [m] of the trunk over its lowest foot, m; 0 without feet.
    """

    pairs: Array
    box: Array
    speed: Array
    height: Array


class Surroundings:
    """One robot's shape between its planes and obstacles."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self.chain = Chain(bounds.urdf, bounds.joints, bounds.fingers)
        self._shapes = read_shapes(self.chain)
        moving = [i for i, s in enumerate(self._shapes) if self.chain.way(s.link)]
        self._own = [
            (i, k) for i, k in combinations(range(len(self._shapes)), 2)
            if self._apart(self._shapes[i], self._shapes[k]) > bounds.neighbours
        ]  # fmt: skip
        self._walls = [(wall, i) for wall in bounds.walls for i in moving]
        self._boxes = [(box, _box(box[0], box[2]), i) for box in bounds.boxes for i in moving]
        names = [self._shapes[i].name for i in range(len(self._shapes))]
        self.kinds = (
            ["self_collision"] * len(self._own)
            + ["plane"] * len(self._walls)
            + ["obstacle"] * len(self._boxes)
        )
        self.names = (
            [f"{names[i]} and {names[k]}" for i, k in self._own]
            + [f"{names[i]} and {wall[0]}" for wall, i in self._walls]
            + [f"{names[i]} and {box[0]}" for box, _, i in self._boxes]
        )
        body, links = swept(self.chain, self._shapes, bounds.width_max), finger_links(self.chain)
        self._sweeping = [
            body if body is not None and shape.link in links else shape for shape in self._shapes
        ]

    def rooms(self, q: Array, width: Array, v: Array | None = None) -> Rooms:
        """What is left at ``q`` [m, n] with the gripper open by ``width`` [m]; ``v`` [m, n] are
        the joint velocities."""
        at, count = self.chain.place(q, width), len(q)
        return Rooms(self._pairs(self._shapes, at, count), self._tool_box(at, count),
                     self._tool_speed(at, v, count), self._height(at, count))  # fmt: skip

    def swept_pairs(self, q: Array) -> Array:
        """``rooms(...).pairs`` with all that the fingers sweep in the place of each finger."""
        return self._pairs(self._sweeping, self.chain.place(q), len(q))

    def _pairs(self, shapes: list[Shape], at: Placed, count: int) -> Array:
        bounds = self._bounds
        solids = [placed(shape, at.frames[shape.link]) for shape in shapes]
        rooms = np.empty((count, len(self.names)))
        column = 0
        for i, k in self._own:
            cut = bounds.self_margin + LOOK
            rooms[:, column] = distance(solids[i], solids[k], cut) - bounds.self_margin
            column += 1
        for (_, normal, offset, margin, tool_margin), i in self._walls:
            least = tool_margin if self._is_tool(i) else margin
            rooms[:, column] = plane_distance(solids[i], normal, offset) - least
            column += 1
        for (_, centre, _, yaw, margin, tool_margin), shape, i in self._boxes:
            least = tool_margin if self._is_tool(i) else margin
            solid = Solid(shape, _yaw(yaw), centre[np.newaxis])
            rooms[:, column] = distance(solids[i], solid, least + LOOK) - least
            column += 1
        return rooms

    def tool(self, q: Array) -> Frame:
        """The tool frame at ``q`` [m, n]."""
        assert self._bounds.tool is not None
        return self.chain.place(q).frames[self._bounds.tool]

    def _apart(self, one: Shape, other: Shape) -> int:
        return self.chain.joints_between(one.link, other.link)

    def _is_tool(self, shape: int) -> bool:
        return self._shapes[shape].link in self._bounds.tool_links

    def _tool_box(self, at: Placed, count: int) -> Array:
        box = self._bounds.workspace
        if self._bounds.tool is None or box is None:
            return np.empty((count, 0))
        point = at.frames[self._bounds.tool].position
        return np.concatenate([point - box[0], box[1] - point], axis=1)

    def _tool_speed(self, at: Placed, v: Array | None, count: int) -> Array:
        if self._bounds.tool is None or v is None:
            return np.zeros(count)
        speed = self.chain.point_velocity(at, self._bounds.tool, v)
        return np.asarray(np.linalg.norm(speed, axis=1))

    def _height(self, at: Placed, count: int) -> Array:
        if not self._bounds.feet:
            return np.zeros(count)
        feet = [at.frames[foot].position[:, 2] for foot in self._bounds.feet]
        return np.asarray(-np.min(feet, axis=0))


def _box(name: str, half: Array) -> Shape:
    return Shape(name, "", "box", np.eye(3), np.zeros(3), 0.0, half)


def _yaw(yaw: float) -> Array:
    s, c = np.sin(yaw), np.cos(yaw)
    return np.array([[[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]]])
