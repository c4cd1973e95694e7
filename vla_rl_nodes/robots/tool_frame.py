"""The yaw of a tool that points straight down, and back."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def rotation_from_yaw(yaw: float) -> Array:
    """Rotation [3, 3] of a downward tool in the base frame, turned by ``yaw`` rad about base z.

    At yaw 0 the tool's x is the base's x, its y is -y and its z is -z.
    """
    c, s = math.cos(yaw), math.sin(yaw)
    return np.array([[c, s, 0.0], [s, -c, 0.0], [0.0, 0.0, -1.0]])


def yaw_from_rotation(rotation: Array) -> float:
    """Yaw (-pi, pi] rad of the downward tool nearest to ``rotation`` [3, 3].

    For a tilted tool this is the yaw that leaves the smallest turn between the two: it
    maximises the trace of ``rotation_from_yaw(yaw).T @ rotation``.
    """
    return math.atan2(rotation[1, 0] + rotation[0, 1], rotation[0, 0] - rotation[1, 1])


def tilt_from_rotation(rotation: Array) -> float:
    """Angle [0, pi] rad between the tool's z and straight down."""
    return math.atan2(math.hypot(rotation[0, 2], rotation[1, 2]), -rotation[2, 2])
