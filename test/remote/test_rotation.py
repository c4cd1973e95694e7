"""The turn about z and the tilt in small rotations, against rotation matrices."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from vla_rl_nodes.remote.rotation import (
    quaternions_of_rpy,
    quaternions_of_vectors,
    yaw_and_tilt,
)

ANGLES = st.lists(st.floats(-1.2, 1.2), min_size=3, max_size=3)


def about(axis: int, angle: float) -> NDArray[np.float64]:
    i, j = [(1, 2), (2, 0), (0, 1)][axis]
    matrix = np.eye(3)
    matrix[i, i] = matrix[j, j] = np.cos(angle)
    matrix[i, j], matrix[j, i] = -np.sin(angle), np.sin(angle)
    return matrix


def matrix_of(quaternion: NDArray[np.float64]) -> NDArray[np.float64]:
    w, x, y, z = quaternion
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    rotation: NDArray[np.float64] = np.eye(3) + 2 * w * cross + 2 * cross @ cross
    return rotation


@given(ANGLES)
def test_rpy_is_about_fixed_axes_x_then_y_then_z(angles: list[float]) -> None:
    expected = about(2, angles[2]) @ about(1, angles[1]) @ about(0, angles[0])
    found = quaternions_of_rpy(np.array([angles]))[0]
    np.testing.assert_allclose(matrix_of(found), expected, atol=1e-12)


@given(ANGLES)
def test_vector_turns_about_itself_by_its_length(vector: list[float]) -> None:
    found = quaternions_of_vectors(np.array([vector]))[0]
    rotation, axis = matrix_of(found), np.array(vector)
    np.testing.assert_allclose(rotation @ axis, axis, atol=1e-12)
    assert np.trace(rotation) == pytest.approx(1 + 2 * np.cos(np.linalg.norm(axis)), abs=1e-12)


@given(st.floats(-3.1, 3.1), st.floats(-1.5, 1.5), st.floats(0.0, 6.28))
def test_turn_and_tilt_are_found_again(yaw: float, tilt: float, towards: float) -> None:
    """A tilt about an axis in the xy plane, and then a turn about z."""
    axis = tilt * np.array([np.cos(towards), np.sin(towards), 0.0])
    first, second = quaternions_of_vectors(np.array([axis, [0.0, 0.0, yaw]]))
    w, v = second[0] * first[0] - second[1:] @ first[1:], (
        second[0] * first[1:] + first[0] * second[1:] + np.cross(second[1:], first[1:])
    )  # fmt: skip
    found_yaw, found_tilt = yaw_and_tilt(np.array([[w, *v]]))
    assert found_yaw[0] == pytest.approx(yaw, abs=1e-9)
    assert found_tilt[0] == pytest.approx(abs(tilt), abs=1e-7)


def test_no_rotation_at_all() -> None:
    yaw, tilt = yaw_and_tilt(quaternions_of_vectors(np.zeros((2, 3))))
    assert yaw.tolist() == [0.0, 0.0] and tilt.tolist() == [0.0, 0.0]
