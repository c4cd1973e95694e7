"""The safety filter's limits and its stop as rviz markers."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
from builtin_interfaces.msg import Duration
from geometry_msgs.msg import Point
from numpy.typing import NDArray
from std_msgs.msg import ColorRGBA
from visualization_msgs.msg import Marker, MarkerArray

from vla_rl_nodes.nodes.event import time_message
from vla_rl_nodes.nodes.safety_distances import Close
from vla_rl_nodes.safety.limits import SafetyLimits

Array = NDArray[np.float64]

HZ = 10
LIFETIME_NS = 500_000_000  # what is not told again disappears
PLANE_SIZE, PLANE_THICKNESS = 2.0, 0.002  # m
LINE = 0.004  # m
GREY = (0.6, 0.6, 0.6, 0.3)
BLUE = (0.2, 0.5, 0.9, 0.9)
GREEN = (0.2, 0.7, 0.3, 0.9)
AMBER = (0.95, 0.65, 0.1, 0.9)
RED = (0.85, 0.2, 0.1, 0.9)


def _point(at: Sequence[float] | Array) -> Point:
    return Point(x=float(at[0]), y=float(at[1]), z=float(at[2]))


def turn_from_z(normal: Sequence[float]) -> tuple[float, float, float, float]:
    """The quaternion x, y, z, w of the shortest turn from the z axis to a unit vector."""
    x, y, z = normal
    if z < -1.0 + 1e-9:
        return 1.0, 0.0, 0.0, 0.0
    w = np.sqrt((1.0 + z) / 2.0)
    return float(-y / (2 * w)), float(x / (2 * w)), 0.0, float(w)


class SafetyMarkers:
    """Makes the markers of one robot in its base frame.

    Args:
        limits: box, planes and obstacles.
        frame: the base frame.
    """

    def __init__(self, limits: SafetyLimits, frame: str) -> None:
        self._limits, self._frame = limits, frame

    def make(
        self, stamp_ns: int, close: Sequence[Close], path: Array | None, target: Array | None
    ) -> MarkerArray:
        """Everything there is to see now.

        Args:
            stamp_ns: of the markers.
            close: pairs of parts to draw the distance of.
            path: the tool's points along the stop [m, 3], m; None without one.
            target: where the tool is sent [3], m; None without one.
        """
        markers = [*self._box(), *self._planes(), *self._obstacles(), *self._distances(close)]
        if path is not None and len(path) > 1:
            line = self._marker("stop path", 0, Marker.LINE_STRIP, AMBER, (LINE, 0.0, 0.0))
            line.points = [_point(at) for at in path]
            markers.append(line)
        if target is not None:
            ball = self._marker("tool target", 0, Marker.SPHERE, BLUE, (0.02, 0.02, 0.02))
            ball.pose.position = _point(target)
            markers.append(ball)
        for marker in markers:
            marker.header.stamp = time_message(stamp_ns)
        return MarkerArray(markers=markers)

    def _marker(
        self,
        space: str,
        number: int,
        kind: int,
        colour: tuple[float, float, float, float],
        scale: tuple[float, float, float],
    ) -> Marker:
        marker = Marker(ns=space, id=number, type=kind, action=Marker.ADD)
        marker.header.frame_id = self._frame
        marker.pose.orientation.w = 1.0
        marker.scale.x, marker.scale.y, marker.scale.z = scale
        r, g, b, a = colour
        marker.color = ColorRGBA(r=r, g=g, b=b, a=a)
        marker.lifetime = Duration(nanosec=LIFETIME_NS)
        return marker

    def _box(self) -> list[Marker]:
        box = self._limits.workspace
        if box is None:
            return []
        lines = self._marker("workspace", 0, Marker.LINE_LIST, BLUE, (LINE, 0.0, 0.0))
        ends = np.array([box.lower, box.upper])
        for axis in range(3):
            for corner in product((0, 1), repeat=2):
                rows = np.insert(np.array([corner, corner]), axis, [0, 1], axis=1)
                lines.points += [_point(ends[row, [0, 1, 2]]) for row in rows]
        return [lines]

    def _planes(self) -> list[Marker]:
        found = []
        for number, plane in enumerate(self._limits.planes):
            scale = (PLANE_SIZE, PLANE_SIZE, PLANE_THICKNESS)
            sheet = self._marker("planes", number, Marker.CUBE, GREY, scale)
            sheet.pose.position = _point(np.array(plane.normal) * plane.offset)
            turn = sheet.pose.orientation
            turn.x, turn.y, turn.z, turn.w = turn_from_z(plane.normal)
            found.append(sheet)
        return found

    def _obstacles(self) -> list[Marker]:
        found = []
        for number, obstacle in enumerate(self._limits.obstacles):
            x, y, z = obstacle.size
            solid = self._marker("obstacles", number, Marker.CUBE, GREY, (x, y, z))
            solid.pose.position = _point(obstacle.centre)
            solid.pose.orientation.z = float(np.sin(obstacle.yaw / 2))
            solid.pose.orientation.w = float(np.cos(obstacle.yaw / 2))
            found.append(solid)
        return found

    def _distances(self, close: Sequence[Close]) -> list[Marker]:
        found = []
        for number, pair in enumerate(close):
            room = pair.distance - pair.margin
            colour = RED if room <= 0.0 else AMBER if room <= pair.margin else GREEN
            line = self._marker("distances", number, Marker.LINE_STRIP, colour, (LINE, 0.0, 0.0))
            line.points = [_point(at) for at in pair.points]
            text = self._marker(
                "distances text", number, Marker.TEXT_VIEW_FACING, colour, (0.0, 0.0, 0.02)
            )
            text.pose.position = _point((pair.points[0] + pair.points[1]) / 2.0)
            text.text = f"{' - '.join(pair.names)}: {1000.0 * pair.distance:.0f} mm"
            found += [line, text]
        return found
