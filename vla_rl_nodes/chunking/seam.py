"""How smoothly a chunk joins what was executed, against how smooth it is inside."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# Differences of the action: first, second and third.
ORDERS = {"step": 1, "bend": 2, "jerk": 3}


def differences_across(before: Array, after: Array, order: int) -> Array:
    """Absolute differences of the given order that reach over a join [n, A].

    Args:
        before: actions up to the join, oldest first [m, A].
        after: actions from the join on [k, A].
        order: 1 for steps, 2 for second differences, and so on.
    """
    joined = np.concatenate([before[-order:], after[:order]])
    across: Array = np.abs(np.diff(joined, n=order, axis=0))
    return across


def seam_log(executed: Array, chunk: Array, delay: int, width: Array) -> dict[str, str]:
    """Log entries of one splice: ``seam_<what>`` and ``inner_<what>_p95``.

    The largest difference over the seam and the 95th percentile inside the chunk, over all axes
    as shares of their bounds' width.

    Args:
        executed: actions taken before the splice, oldest first [n, A].
        chunk: the chunk that was taken over [H, A].
        delay: its rows that are past already.
        width: of each axis' bounds [A].
    """
    log: dict[str, str] = {}
    before, after = executed[-3:] / width, chunk[delay:] / width
    for what, order in ORDERS.items():
        if len(before) < order or len(after) <= order:
            continue
        seam = differences_across(before, after, order).max()
        inner = np.percentile(np.abs(np.diff(after, n=order, axis=0)), 95)
        log[f"seam_{what}"], log[f"inner_{what}_p95"] = f"{seam:.5f}", f"{inner:.5f}"
    return log
