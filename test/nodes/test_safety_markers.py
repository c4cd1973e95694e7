"""The markers show the limits where they are."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from visualization_msgs.msg import Marker

from vla_rl_nodes.nodes.safety_distances import Close, Distances
from vla_rl_nodes.nodes.safety_markers import RED, SafetyMarkers, turn_from_z
from vla_rl_nodes.robots.load import load_robot
from vla_rl_nodes.safety.clearance import Clearance
from vla_rl_nodes.safety.limits import Obstacle, Plane, load_limits

ROBOT = load_robot("fr3")
LIMITS = load_limits("franka_pick")


def rotated_z(x: float, y: float, z: float, w: float) -> list[float]:
    """The z axis turned by a quaternion."""
    return [2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x * x + y * y)]


@given(st.floats(0.0, math.pi), st.floats(-math.pi, math.pi))
def test_a_plane_is_turned_towards_its_normal(tilt: float, heading: float) -> None:
    normal = [math.sin(tilt) * math.cos(heading), math.sin(tilt) * math.sin(heading),
              math.cos(tilt)]  # fmt: skip
    turn = turn_from_z(normal)
    assert sum(c * c for c in turn) == pytest.approx(1.0)
    np.testing.assert_allclose(rotated_z(*turn), normal, atol=1e-4)


def test_every_limit_is_shown_where_it_is() -> None:
    limits = LIMITS.model_copy(update={
        "planes": [*LIMITS.planes, Plane(
            name="wall", normal=[0.0, -1.0, 0.0], offset=-0.5, margin=0.02, tool_margin=0.0)],
        "obstacles": [Obstacle(name="bin", centre=[0.5, 0.2, 0.1], size=[0.2, 0.3, 0.1], yaw=0.6,
                               margin=0.02, tool_margin=0.0)],
    })  # fmt: skip
    close = Close(("hand", "table"), 0.01, 0.02, (np.array([0.4, 0, 0.01]), np.array([0.4, 0, 0])))
    path = np.array([[0.4, 0.0, 0.3], [0.41, 0.0, 0.3], [0.415, 0.0, 0.3]])
    made = SafetyMarkers(limits, "fr3_link0").make(
        1_500_000_000, [close], path, np.array([0.5, 0.1, 0.2])
    )
    by = {(m.ns, m.id): m for m in made.markers}
    assert len(by) == len(made.markers)
    assert {m.header.frame_id for m in made.markers} == {"fr3_link0"}
    assert {(m.header.stamp.sec, m.header.stamp.nanosec) for m in made.markers} == {(1, 500000000)}
    assert all(m.lifetime.nanosec > 0 for m in made.markers)

    edges = np.array([[p.x, p.y, p.z] for p in by["workspace", 0].points])
    assert edges.shape == (24, 3)
    box = limits.workspace
    assert box is not None
    corners = {tuple(p) for p in edges}
    assert len(corners) == 8
    assert corners == {(x, y, z) for x in box.x for y in box.y for z in box.z}
    lengths = np.abs(edges[1::2] - edges[::2])
    assert (np.count_nonzero(lengths, axis=1) == 1).all()

    wall = by["planes", 1]
    assert (wall.pose.position.x, wall.pose.position.y, wall.pose.position.z) == (0, 0.5, 0)
    turn = wall.pose.orientation
    np.testing.assert_allclose(rotated_z(turn.x, turn.y, turn.z, turn.w), [0, -1, 0], atol=1e-9)
    bin_ = by["obstacles", 0]
    assert (bin_.scale.x, bin_.scale.y, bin_.scale.z) == (0.2, 0.3, 0.1)
    assert 2 * math.atan2(bin_.pose.orientation.z, bin_.pose.orientation.w) == pytest.approx(0.6)

    assert by["distances text", 0].text == "hand - table: 10 mm"
    colour = by["distances", 0].color
    assert (colour.r, colour.g) == pytest.approx(RED[:2])
    assert by["stop path", 0].type == Marker.LINE_STRIP and len(by["stop path", 0].points) == 3
    target = by["tool target", 0].pose.position
    assert (target.x, target.y, target.z) == (0.5, 0.1, 0.2)


def test_what_is_not_there_is_not_shown() -> None:
    limits = LIMITS.model_copy(update={"workspace": None, "planes": []})
    assert SafetyMarkers(limits, "base").make(0, [], None, None).markers == []
    still = np.array([[0.4, 0.0, 0.3]])
    assert SafetyMarkers(limits, "base").make(0, [], still, None).markers == []


def test_the_closest_pairs_are_those_of_the_filter() -> None:
    q = ROBOT.home + np.array([0.2, 0.3, -0.1, 0.1, 0.2, 0.1, 0.4])
    clearance = Clearance(ROBOT, LIMITS)
    room = np.sort(clearance.distances(q) - clearance.margins)
    found = Distances(ROBOT, LIMITS).closest(q, 5)
    np.testing.assert_allclose([c.distance - c.margin for c in found], room[:5], atol=1e-9)
    for close in found:
        assert np.linalg.norm(close.points[0] - close.points[1]) == pytest.approx(
            close.distance, abs=1e-5
        )
