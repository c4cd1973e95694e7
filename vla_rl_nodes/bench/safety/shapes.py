"""The primitives of a robot's URDF, and where they are, for the judge."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.bench.safety.chain import Chain, Frame, numbers, turn

Array = NDArray[np.float64]

SAME = 1e-9  # m, how far two lengths that are meant to be equal may differ


class Shape(NamedTuple):
    """A primitive in the frame of its link; lengths in m.

    Attributes:
        name: the collision element's.
        link: whose it is.
        kind: ``round`` (a sphere or a capsule: all points within ``radius`` of a segment of
            half length ``half[2]`` along z), ``cylinder`` (along z, flat ends, ``radius`` and
            ``half[2]``) or ``box`` (half sizes ``half``).
        rotation: of its own axes in the link's frame [3, 3].
        position: of its centre [3].
        radius: of round shapes and cylinders.
        half: half sizes [3].
    """

    name: str
    link: str
    kind: str
    rotation: Array
    position: Array
    radius: float
    half: Array

    @property
    def reach(self) -> float:
        """Radius of the smallest ball about the centre that holds the shape, m."""
        if self.kind == "box":
            return float(np.linalg.norm(self.half))
        if self.kind == "cylinder":
            return float(np.hypot(self.half[2], self.radius))
        return float(self.half[2]) + self.radius


class Solid(NamedTuple):
    """A shape at m places: axes [m, 3, 3] (columns) and centre [m, 3] in the base frame."""

    shape: Shape
    axes: Array
    centre: Array

    def at(self, rows: NDArray[np.intp]) -> Solid:
        """At some of the places only; a shape that stands still has but one."""
        if len(self.centre) == 1:
            return self
        return Solid(self.shape, self.axes[rows], self.centre[rows])


def read_shapes(chain: Chain) -> list[Shape]:
    """Every collision shape of a URDF. A cylinder with two end spheres is one capsule.

    Raises:
        ValueError: a mesh, or anything else that is no primitive.
    """
    shapes: list[Shape] = []
    for link in chain.root.findall("link"):
        own = [_shape(link.attrib["name"], element) for element in link.findall("collision")]
        shapes.extend(_joined(own))
    return shapes


def placed(shape: Shape, frame: Frame) -> Solid:
    """The shape where its link is."""
    axes = (frame.rotation.reshape(-1, 3) @ shape.rotation).reshape(-1, 3, 3)
    return Solid(shape, axes, frame.position + frame.rotation @ shape.position)


def _shape(link: str, element: ET.Element) -> Shape:
    origin = element.find("origin")
    rotation = turn(numbers(origin, "rpy", "0 0 0"))
    position = np.array(numbers(origin, "xyz", "0 0 0"))
    name = element.get("name", link)
    box, ball = element.find("geometry/box"), element.find("geometry/sphere")
    tube = element.find("geometry/cylinder")
    if box is not None:
        half = 0.5 * np.array(numbers(box, "size", ""))
        return Shape(name, link, "box", rotation, position, 0.0, half)
    if ball is not None:
        radius = float(ball.attrib["radius"])
        return Shape(name, link, "round", rotation, position, radius, np.zeros(3))
    if tube is not None:
        half = np.array([0.0, 0.0, 0.5 * float(tube.attrib["length"])])
        radius = float(tube.attrib["radius"])
        return Shape(name, link, "cylinder", rotation, position, radius, half)
    raise ValueError(f"{name} of {link} is no box, sphere or cylinder")


def _joined(shapes: list[Shape]) -> list[Shape]:
    """Cylinders whose two ends carry spheres of the same radius become capsules."""
    rest = list(shapes)
    for tube in [shape for shape in shapes if shape.kind == "cylinder"]:
        ends = [tube.position + sign * tube.half[2] * tube.rotation[:, 2] for sign in (1, -1)]
        balls = [_ball(rest, end, tube.radius) for end in ends]
        if all(ball is not None for ball in balls):
            rest = [s for s in rest if s is not tube and all(s is not ball for ball in balls)]
            rest.append(tube._replace(kind="round"))
    return rest


def _ball(shapes: list[Shape], centre: Array, radius: float) -> Shape | None:
    for shape in shapes:
        ball = shape.kind == "round" and shape.half[2] == 0.0
        near = float(np.abs(shape.position - centre).max()) < SAME
        if ball and near and abs(shape.radius - radius) < SAME:
            return shape
    return None
