"""Where a person took over, and where the robot was given back."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Flags = NDArray[np.bool_]


def edges(intervened: Flags, executed: NDArray[np.float32]) -> tuple[Flags, Flags]:
    """First and last step of each intervention, bool [T] each; as many of one as of the other.

    An intervention goes on until somebody else's action is executed: steps without any action,
    where a message of the person's device was late or lost, do not make two of it. So the number
    of first steps is the number of interventions.

    Args:
        intervened: whether a person's action carries the step's stamp [T].
        executed: what the filter accepted [T, A], NaN rows where nothing.
    """
    start, end = np.zeros_like(intervened), np.zeros_like(intervened)
    others = ~intervened & ~np.isnan(executed).any(axis=1)
    # Steps with the same count have nobody else's action between them.
    rows, handed_back = np.flatnonzero(intervened), np.cumsum(others)
    if len(rows):
        new = np.flatnonzero(np.diff(handed_back[rows])) + 1
        start[rows[np.concatenate(([0], new))]] = True
        end[rows[np.concatenate((new - 1, [len(rows) - 1]))]] = True
    return start, end
