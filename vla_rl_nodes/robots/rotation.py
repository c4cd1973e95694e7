"""Interpolation between rotations."""

from __future__ import annotations

import numpy as np
import pinocchio
from numpy.typing import NDArray

Array = NDArray[np.float64]


def turned_towards(start: Array, goal: Array, share: float) -> Array:
    """Rotation [3, 3] that is ``share`` (0..1) of the shortest turn from ``start`` to ``goal``."""
    turn: Array = start @ pinocchio.exp3(share * pinocchio.log3(start.T @ goal))
    return turn
