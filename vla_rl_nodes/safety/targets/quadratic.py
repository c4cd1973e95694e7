"""A small convex quadratic programme: least squares under bounds and linearised limits."""

from __future__ import annotations

import daqp
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

OPTIMAL = 1  # daqp's exit flag
FREE = 1e30  # daqp's infinity


def least_squares(
    matrix: Array, wanted: Array, low: Array, high: Array, jacobian: Array, room: Array
) -> Array | None:
    """The step ``x`` [n] with the least ``|matrix x - wanted|^2``; None: there is none.

    Subject to ``low <= x <= high`` and ``room + jacobian x >= 0``. Solved by DAQP (Arnstrom,
    Bemporad and Axehill 2022).

    Args:
        matrix: [k, n] of full column rank.
        wanted: [k].
        low, high: [n].
        jacobian: [m, n].
        room: [m].
    """
    answer, _, flag, _ = daqp.solve(
        matrix.T @ matrix,
        -(matrix.T @ wanted),
        np.ascontiguousarray(jacobian),
        np.concatenate([high, np.full(len(room), FREE)]),
        np.concatenate([low, -room]),
        np.zeros(len(low) + len(room), dtype=np.int32),
    )
    found = np.asarray(answer, dtype=np.float64)
    if flag != OPTIMAL or not np.isfinite(found).all():
        return None
    bounded: Array = np.minimum(np.maximum(found, low), high)
    return bounded
