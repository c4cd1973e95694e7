"""Tool yaw: its convention, its inverse, and its meaning for a tilted tool."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla_rl_nodes.robots.tool_frame import (
    rotation_from_yaw,
    tilt_from_rotation,
    yaw_from_rotation,
)

YAWS = st.floats(-math.pi + 1e-9, math.pi - 1e-9)


def about(axis: int, angle: float) -> np.ndarray:
    c, s = math.cos(angle), math.sin(angle)
    i, j = [(1, 2), (2, 0), (0, 1)][axis]
    turn = np.eye(3)
    turn[i, i] = turn[j, j] = c
    turn[i, j], turn[j, i] = -s, s
    return turn


def test_at_yaw_zero_the_tool_points_down_with_x_forward() -> None:
    np.testing.assert_array_equal(rotation_from_yaw(0.0), np.diag([1.0, -1.0, -1.0]))


@given(YAWS)
def test_yaw_turns_about_the_bases_z(yaw: float) -> None:
    rotation = rotation_from_yaw(yaw)
    np.testing.assert_allclose(rotation, about(2, yaw) @ np.diag([1, -1, -1]), atol=1e-15)
    assert np.linalg.det(rotation) == pytest.approx(1.0)
    assert yaw_from_rotation(rotation) == pytest.approx(yaw, abs=1e-12)
    assert tilt_from_rotation(rotation) == pytest.approx(0.0, abs=1e-12)


@given(YAWS, st.integers(0, 1), st.floats(-1.2, 1.2))
def test_a_tilted_tools_yaw_is_the_nearest_upright_one(yaw: float, axis: int, tilt: float) -> None:
    tilted = about(axis, tilt) @ rotation_from_yaw(yaw)
    assert tilt_from_rotation(tilted) == pytest.approx(abs(tilt), abs=1e-9)
    found = yaw_from_rotation(tilted)
    best = np.trace(rotation_from_yaw(found).T @ tilted)
    for other in np.linspace(-math.pi, math.pi, 61):
        assert np.trace(rotation_from_yaw(other).T @ tilted) <= best + 1e-9
