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
        self._swept = swept(self.chain, self._shapes, bounds.width_max)

    def rooms(self, q: Array, width: Array, v: Array | None = None) -> Rooms:
        """What is left at ``q`` [m, n] with the gripper open by ``width`` [m]; ``v`` [m, n] are
        the joint velocities."""
        bounds, count = self._bounds, len(q)
        at = self.chain.place(q, width)
        solids = [placed(shape, at.frames[shape.link]) for shape in self._shapes]
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
        return Rooms(rooms, self._tool_box(at, count), self._tool_speed(at, v, count),
                     self._height(at, count))  # fmt: skip

    def swept_rooms(self, q: Array) -> list[tuple[list[int], Array]]:
        """What is left between all that the fingers sweep and each thing that they can meet.

        Returns:
            The columns of ``rooms(...).pairs`` of one such thing, and what is left [m], m.
        """
        if self._swept is None:
            return []
        bounds, at = self._bounds, self.chain.place(q)
        fingers = placed(self._swept, at.frames[self._swept.link])
        links = finger_links(self.chain)
        moved = [i for i, shape in enumerate(self._shapes) if shape.link in links]
        rooms: list[tuple[list[int], Array]] = []
        for k in (k for k in range(len(self._shapes)) if k not in moved):
            columns = [
                c for c, pair in enumerate(self._own) if k in pair and _other(pair, k) in moved
            ]
            other = self._shapes[k]
            solid = placed(other, at.frames[other.link])
            near = distance(fingers, solid, bounds.self_margin + LOOK) - bounds.self_margin
            rooms.append((columns, near))
        before = len(self._own)
        for wall in bounds.walls:
            columns = [
                before + c for c, (w, i) in enumerate(self._walls) if w is wall and i in moved
            ]
            _, normal, offset, margin, tool_margin = wall
            least = tool_margin if self._is_tool(moved[0]) else margin
            rooms.append((columns, plane_distance(fingers, normal, offset) - least))
        before += len(self._walls)
        for box in bounds.boxes:
            columns = [
                before + c for c, (b, _, i) in enumerate(self._boxes) if b is box and i in moved
            ]
            name, centre, half, yaw, margin, tool_margin = box
            least = tool_margin if self._is_tool(moved[0]) else margin
            solid = Solid(_box(name, half), _yaw(yaw), centre[np.newaxis])
            rooms.append((columns, distance(fingers, solid, least + LOOK) - least))
        return [(columns, left) for columns, left in rooms if columns]

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


def _other(pair: tuple[int, int], one: int) -> int:
    return pair[1] if pair[0] == one else pair[0]


def _box(name: str, half: Array) -> Shape:
    return Shape(name, "", "box", np.eye(3), np.zeros(3), 0.0, half)


def _yaw(yaw: float) -> Array:
    s, c = np.sin(yaw), np.cos(yaw)
    return np.array([[[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]]])
