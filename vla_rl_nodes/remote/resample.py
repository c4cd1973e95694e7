"""A chunk from the server's rate to ours: motions keep their sum, positions hold."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def whole_ticks(steps: int, rate_hz: int, policy_hz: int) -> int:
    """Ticks of ours that a chunk of the server's steps fills."""
    return steps * policy_hz // rate_hz


def motions(deltas: Array, rate_hz: int, policy_hz: int) -> Array:
    """Displacements [steps, axes] of one step each as displacements [ticks, axes] of one tick.

    Within a step the motion is uniform, so that after every tick as much is done as the server
    had done at that time.
    """
    steps = len(deltas)
    ticks = whole_ticks(steps, rate_hz, policy_hz)
    done = np.concatenate([np.zeros((1, deltas.shape[1])), np.cumsum(deltas, axis=0)])
    at = np.arange(ticks + 1) * (rate_hz / policy_hz)  # in steps
    path = np.stack(
        [np.interp(at, np.arange(steps + 1), column) for column in done.T], axis=1
    ).reshape(ticks + 1, deltas.shape[1])
    return np.diff(path, axis=0)


def positions(targets: Array, rate_hz: int, policy_hz: int) -> Array:
    """Targets [steps, axes] of one step each as targets [ticks, axes]: that of each tick's end."""
    ticks = whole_ticks(len(targets), rate_hz, policy_hz)
    # Whole numbers: the step in which tick j ends is the last that begins before (j + 1) / ours.
    ends = (np.arange(1, ticks + 1) * rate_hz + policy_hz - 1) // policy_hz - 1
    held: Array = targets[ends]
    return held
