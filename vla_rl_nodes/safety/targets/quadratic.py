"""A small convex quadratic programme: least squares under bounds and linearised limits."""

from __future__ import annotations

from typing import NamedTuple

import daqp
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

OPTIMAL = 1  # daqp's exit flag
FREE = 1e30  # daqp's infinity


EQUAL = 5  # daqp's kind of a row that is an equation


class Equations(NamedTuple):
    """``matrix x = value``."""

    matrix: Array
    value: Array


def least_squares(
    matrix: Array,
    wanted: Array,
    low: Array,
    high: Array,
    jacobian: Array,
    room: Array,
    equations: Equations | None = None,
) -> Array | None:
    """The step ``x`` [n] with the least ``|matrix x - wanted|^2``; None: there is none.

    Subject to ``low <= x <= high``, ``room + jacobian x >= 0`` and the equations. Solved by DAQP
    (Arnstrom, Bemporad and Axehill 2022).

    Args:
        matrix: [k, n] of full column rank.
        wanted: [k].
        low, high: [n].
        jacobian: [m, n].
        room: [m].
        equations: must hold too, where there are any.
    """
    rows, upper, lower = [jacobian], [high, np.full(len(room), FREE)], [low, -room]
    sense = np.zeros(
        len(low) + len(room) + (0 if equations is None else len(equations.value)), dtype=np.int32
    )
    if equations is not None:
        rows.append(equations.matrix)
        upper.append(equations.value)
        lower.append(equations.value)
        sense[len(low) + len(room) :] = EQUAL
    answer, _, flag, _ = daqp.solve(
        matrix.T @ matrix, -(matrix.T @ wanted), np.ascontiguousarray(np.concatenate(rows)),
        np.concatenate(upper), np.concatenate(lower), sense,
    )  # fmt: skip
    found = np.asarray(answer, dtype=np.float64)
    if flag != OPTIMAL or not np.isfinite(found).all():
        return None
    bounded: Array = np.minimum(np.maximum(found, low), high)
    return bounded
