"""The turn about z that a small rotation holds, and the tilt that is left."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def quaternions_of_rpy(angles: Array) -> Array:
    """Quaternions w, x, y, z [n, 4] of roll, pitch, yaw [n, 3] (rad) about fixed x, y, z."""
    cos, sin = np.cos(angles / 2.0).T, np.sin(angles / 2.0).T
    (cr, cp, cy), (sr, sp, sy) = cos, sin
    return np.stack(
        [
            cr * cp * cy + sr * sp * sy,
            sr * cp * cy - cr * sp * sy,
            cr * sp * cy + sr * cp * sy,
            cr * cp * sy - sr * sp * cy,
        ],
        axis=1,
    )


def quaternions_of_vectors(vectors: Array) -> Array:
    """Quaternions w, x, y, z [n, 4] of rotation vectors [n, 3]: axis times angle (rad)."""
    angle = np.linalg.norm(vectors, axis=1, keepdims=True)
    # sinc is sin(pi x) / (pi x): the sine of half the angle over the angle, finite at zero.
    imaginary = 0.5 * np.sinc(angle / (2.0 * np.pi)) * vectors
    return np.concatenate([np.cos(angle / 2.0), imaginary], axis=1)


def yaw_and_tilt(quaternions: Array) -> tuple[Array, Array]:
    """Splits rotations into a turn about z and a tilt about an axis in the xy plane.

    Args:
        quaternions: w, x, y, z [n, 4], of length one.

    Returns:
        Turn about z [n] in (-pi, pi], and angle of the tilt [n] in [0, pi], rad.
    """
    w, x, y, z = quaternions.T
    yaw = 2.0 * np.arctan2(z, w)
    wrapped = np.arctan2(np.sin(yaw), np.cos(yaw))
    return wrapped, 2.0 * np.arctan2(np.hypot(x, y), np.hypot(w, z))
