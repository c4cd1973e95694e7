"""Kinematics for the judge: a URDF read with xml.etree, and numpy over many configurations."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class Frame(NamedTuple):
    """A frame in the base frame: rotation [m, 3, 3], position [m, 3]; m is 1 where it is fixed."""

    rotation: Array
    position: Array


class Link(NamedTuple):
    """How a link hangs on its parent: a fixed step, then a joint about or along ``axis``."""

    name: str
    parent: str | None
    rotation: Array
    position: Array
    kind: str
    joint: str
    axis: Array


class Placed(NamedTuple):
    """Every link's frame, and of each actuated joint its axis [m, 3] and a point on it [m, 3]."""

    frames: dict[str, Frame]
    joints: dict[str, tuple[Array, Array]]


def turn(rpy: Sequence[float]) -> Array:
    """Rotation [3, 3] of URDF's roll, pitch, yaw: about the fixed x, then y, then z."""
    (sr, sp, sy), (cr, cp, cy) = np.sin(rpy), np.cos(rpy)
    return np.array(
        [
            [cy * cp, cy * sp * sr - sy * cr, cy * sp * cr + sy * sr],
            [sy * cp, sy * sp * sr + cy * cr, sy * sp * cr - cy * sr],
            [-sp, cp * sr, cp * cr],
        ]
    )


def numbers(element: ET.Element | None, key: str, default: str) -> list[float]:
    """The numbers in an attribute, or in ``default`` where the element or it is missing."""
    text = default if element is None else element.get(key, default)
    return [float(word) for word in text.split()]


class Chain:
    """One robot's tree of links, from its URDF.

    Args:
        urdf: the file.
        joints: the actuated joints, in the order of a configuration.
        fingers: prismatic joints that each hold half of the gripper's opening.
    """

    def __init__(self, urdf: Path, joints: Sequence[str], fingers: Sequence[str] = ()) -> None:
        self.root = ET.parse(urdf).getroot()
        self.joints, self.fingers = tuple(joints), tuple(fingers)
        children: dict[str, list[Link]] = {}
        names = [link.get("name", "") for link in self.root.findall("link")]
        below = set()
        for joint in self.root.findall("joint"):
            link = _link(joint)
            assert link.parent is not None
            children.setdefault(link.parent, []).append(link)
            below.add(link.name)
        (base,) = (name for name in names if name not in below)
        nothing = np.zeros(3)
        self.links = [Link(base, None, np.eye(3), nothing, "fixed", "", nothing)]
        for link in self.links:  # grows while it is walked: parents come before children
            self.links.extend(children.get(link.name, []))
        self._by_name = {link.name: link for link in self.links}
        known = {link.joint for link in self.links}
        missing = [name for name in (*joints, *fingers) if name not in known]
        if missing:
            raise ValueError(f"{urdf} has no joint {missing[0]}")

    def way(self, link: str) -> tuple[str, ...]:
        """The actuated joints between the base and a link."""
        found: list[str] = []
        at: str | None = link
        while at is not None:
            step = self._by_name[at]
            if step.joint in self.joints:
                found.append(step.joint)
            at = step.parent
        return tuple(reversed(found))

    def joints_between(self, first: str, second: str) -> int:
        """How many actuated joints lie on the way from one link to another."""
        return len(set(self.way(first)) ^ set(self.way(second)))

    def place(self, q: Array, width: Array | float = 0.0) -> Placed:
        """Where every link is at ``q`` [m, n] rad with the gripper open by ``width`` [m] m."""
        column = {name: q[:, i] for i, name in enumerate(self.joints)}
        half = 0.5 * np.broadcast_to(np.asarray(width, dtype=np.float64), (len(q),))
        frames: dict[str, Frame] = {}
        joints: dict[str, tuple[Array, Array]] = {}
        for link in self.links:
            if link.parent is None:
                frames[link.name] = Frame(link.rotation[np.newaxis], link.position[np.newaxis])
                continue
            above = frames[link.parent]
            rotation = (above.rotation.reshape(-1, 3) @ link.rotation).reshape(-1, 3, 3)
            position = above.position + above.rotation @ link.position
            if link.joint in column:
                axis = rotation @ link.axis
                joints[link.joint] = (axis, position)
            value = column.get(link.joint, half if link.joint in self.fingers else None)
            if value is not None and link.kind == "prismatic":
                position = position + (rotation @ link.axis) * value[:, np.newaxis]
            elif value is not None:
                rotation = _turned(rotation, link.axis, value)
            frames[link.name] = Frame(rotation, position)
        return Placed(frames, joints)

    def point_velocity(self, placed: Placed, link: str, v: Array) -> Array:
        """Velocity [m, 3] of a link's origin in m/s at joint velocities ``v`` [m, n]."""
        point = placed.frames[link].position
        total = np.zeros((len(v), 3))
        for name in self.way(link):
            axis, origin = placed.joints[name]
            speed = v[:, self.joints.index(name), np.newaxis]
            if self._kind(name) == "prismatic":
                total += axis * speed
            else:
                total += np.cross(axis, point - origin) * speed
        return total

    def _kind(self, joint: str) -> str:
        return next(link.kind for link in self.links if link.joint == joint)


def _link(joint: ET.Element) -> Link:
    parent, child = joint.find("parent"), joint.find("child")
    assert parent is not None and child is not None
    origin = joint.find("origin")
    axis = np.array(numbers(joint.find("axis"), "xyz", "1 0 0"))
    return Link(
        child.attrib["link"],
        parent.attrib["link"],
        turn(numbers(origin, "rpy", "0 0 0")),
        np.array(numbers(origin, "xyz", "0 0 0")),
        joint.attrib["type"],
        joint.attrib["name"],
        axis / (math.sqrt(float(axis @ axis)) or 1.0),
    )


def _turned(rotation: Array, axis: Array, angle: Array) -> Array:
    """Frames [m or 1, 3, 3] turned about their own ``axis`` by ``angle`` [m] (Rodrigues)."""
    s, c = np.sin(angle)[:, np.newaxis], np.cos(angle)[:, np.newaxis]
    main = int(np.argmax(np.abs(axis)))
    if abs(axis[main]) == 1.0:  # about a principal axis only two columns change
        i, j = (main + 1) % 3, (main + 2) % 3
        s = s * axis[main]
        turned = np.empty((len(angle), 3, 3))
        turned[:, :, main] = rotation[:, :, main]
        turned[:, :, i] = c * rotation[:, :, i] + s * rotation[:, :, j]
        turned[:, :, j] = c * rotation[:, :, j] - s * rotation[:, :, i]
        return turned
    x, y, z = axis
    skew = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    step = np.eye(3) + s[:, :, np.newaxis] * skew + (1.0 - c)[:, :, np.newaxis] * (skew @ skew)
    return np.asarray(rotation @ step)
