"""Actions and changes of a pose are each other's inverses."""

from __future__ import annotations

import math

import numpy as np
import pinocchio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vla_rl_nodes.robots.tool_frame import rotation_from_yaw, yaw_from_rotation
from vla_rl_nodes.safety.targets.pose_axes import PoseAxes, ToolPose

from .scenes import make_action, robot

FR3 = robot("fr3")


def axes(kind: str, in_tool: bool = False) -> PoseAxes:
    return PoseAxes(make_action(FR3, kind, in_tool), FR3.base_frame)


def numbers(count: int, most: float) -> st.SearchStrategy[np.ndarray]:
    return st.lists(st.floats(-most, most), min_size=count, max_size=count).map(np.array)


def pose(place: np.ndarray, turn: np.ndarray) -> ToolPose:
    rotation = pinocchio.exp3(turn)
    return ToolPose(place, rotation, yaw_from_rotation(rotation))


@settings(deadline=None)
@given(place=numbers(3, 0.8), turn=numbers(3, 1.5), deltas=numbers(6, 0.3))
@pytest.mark.parametrize("in_tool", [False, True])
def test_deltas_invert_moved(
    in_tool: bool, place: np.ndarray, turn: np.ndarray, deltas: np.ndarray
) -> None:
    of, before = axes("tool_pose_delta", in_tool), pose(place, turn)
    after = of.moved(before, deltas)
    np.testing.assert_allclose(after.rotation @ after.rotation.T, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(of.deltas(before, after), deltas, atol=1e-9)


def test_base_frame_moves_along_the_base_axes() -> None:
    before = pose(np.array([0.4, 0.1, 0.3]), np.array([0.4, -0.8, 1.1]))
    after = axes("tool_pose_delta").moved(before, np.array([0.01, 0.02, 0.03, 0.0, 0.0, 0.2]))
    np.testing.assert_allclose(after.position, [0.41, 0.12, 0.33], atol=1e-15)
    quarter = pinocchio.exp3(np.array([0.0, 0.0, 0.2]))
    np.testing.assert_allclose(after.rotation, quarter @ before.rotation, atol=1e-12)


def test_tool_frame_moves_along_the_tools_own_axes() -> None:
    before = ToolPose(np.array([0.4, 0.1, 0.3]), rotation_from_yaw(math.pi / 2), math.pi / 2)
    after = axes("tool_pose_delta", True).moved(before, np.array([0.01, 0.0, 0.05, 0.0, 0.0, 0.2]))
    # Tool x is base y at this yaw, and the tool's z is straight down.
    np.testing.assert_allclose(after.position, [0.4, 0.11, 0.25], atol=1e-15)
    # Turned about an axis that points down, the yaw falls.
    assert after.yaw == pytest.approx(math.pi / 2 - 0.2, abs=1e-12)


@settings(deadline=None)
@given(turns=st.lists(st.floats(-0.15, 0.15), min_size=1, max_size=30), yaw=st.floats(-3, 3))
def test_downward_yaw_counts_on(turns: list[float], yaw: float) -> None:
    of = axes("tool_delta")
    at = of.start(np.array([0.4, 0.0, 0.2]), rotation_from_yaw(yaw))
    begin = at
    for turn in turns:
        before, at = at, of.moved(at, np.array([0.001, 0.0, -0.001, turn]))
        np.testing.assert_allclose(of.deltas(before, at), [0.001, 0.0, -0.001, turn], atol=1e-12)
    np.testing.assert_allclose(at.rotation, rotation_from_yaw(at.yaw), atol=1e-12)
    assert of.deltas(begin, at)[3] == pytest.approx(sum(turns), abs=1e-9)


def test_downward_yaw_beyond_a_turn() -> None:
    of = axes("tool_delta")
    at = of.start(np.zeros(3), rotation_from_yaw(3.0))
    for _ in range(60):
        at = of.moved(at, np.array([0.0, 0.0, 0.0, 0.15]))
    assert at.yaw == pytest.approx(12.0, abs=1e-9)
    nearest = of.nearest(at.position, rotation_from_yaw(12.1), at)
    assert of.deltas(at, nearest)[3] == pytest.approx(0.1, abs=1e-9)


def test_downward_keeps_its_tilt_until_it_is_moved() -> None:
    tilted = rotation_from_yaw(0.3) @ pinocchio.exp3(np.array([0.1, 0.05, 0.0]))
    of = axes("tool_delta")
    at = of.start(np.zeros(3), tilted)
    np.testing.assert_array_equal(at.rotation, tilted)
    assert at.yaw == pytest.approx(yaw_from_rotation(tilted), abs=0)
    moved = of.moved(at, np.array([0.0, 0.0, 0.01, 0.0]))
    np.testing.assert_allclose(moved.rotation[:, 2], [0.0, 0.0, -1.0], atol=1e-12)


@settings(deadline=None)
@given(turn=numbers(3, 0.25), yaw=st.floats(-9.0, 9.0))
def test_nearest_downward_pose_takes_the_smallest_turn(turn: np.ndarray, yaw: float) -> None:
    of = axes("tool_delta")
    like = ToolPose(np.zeros(3), rotation_from_yaw(yaw), yaw)
    rotation = pinocchio.exp3(turn) @ like.rotation
    nearest = of.nearest(np.array([0.1, 0.2, 0.3]), rotation, like)
    np.testing.assert_array_equal(nearest.position, [0.1, 0.2, 0.3])
    left = np.linalg.norm(pinocchio.log3(nearest.rotation.T @ rotation))
    for other in (-0.01, 0.01):
        turned = rotation_from_yaw(nearest.yaw + other)
        assert left <= np.linalg.norm(pinocchio.log3(turned.T @ rotation)) + 1e-9
    assert abs(nearest.yaw - like.yaw) < math.pi


def test_nearest_of_a_free_tool_is_itself() -> None:
    here = pose(np.array([0.1, 0.2, 0.3]), np.array([0.5, -0.2, 0.9]))
    for in_tool in (False, True):
        of = axes("tool_pose_delta", in_tool)
        nearest = of.nearest(here.position, here.rotation, pose(np.ones(3), np.zeros(3)))
        np.testing.assert_array_equal(nearest.position, here.position)
        np.testing.assert_array_equal(nearest.rotation, here.rotation)
