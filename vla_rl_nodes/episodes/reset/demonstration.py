"""A recorded demonstration's joints, gone along up to a point that is drawn at random."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

MOVED = 0.02  # rad: what a joint has to move for another point of the way
GRIPPED = 0.012  # m that the opening has to change for a motion of the gripper


class Demonstration(NamedTuple):
    """Joints [m, n], rad, and opening [m], m (None without a gripper), as they were recorded."""

    name: str
    joints: Array
    widths: Array | None


class Piece(NamedTuple):
    """A way [k, n] of the arm, and the gripper's opening once it is gone; None leaves it."""

    way: Array
    width: float | None


def pieces_until(demonstration: Demonstration, share: float) -> list[Piece]:
    """The demonstration's first part as ways between motions of the gripper.

    Args:
        demonstration: at least one row.
        share: of the whole that is gone, 0 to 1, by the number of rows.
    """
    joints, widths = demonstration.joints, demonstration.widths
    last = min(round(share * (len(joints) - 1)), len(joints) - 1)
    kept, changes = [0], [0]
    for row in range(1, last + 1):
        changed = widths is not None and _changed(widths, row, changes[-1], row == last)
        if changed:
            changes.append(row)
        if changed or row == last or np.abs(joints[row] - joints[kept[-1]]).max() >= MOVED:
            kept.append(row)
    if widths is None:
        return [Piece(joints[kept], None)]
    bounds = changes if changes[-1] == last else [*changes, last]
    if len(bounds) == 1:
        return [Piece(joints[:1], float(widths[0]))]
    return [
        Piece(joints[[row for row in kept if a <= row <= b]], float(widths[b]))
        for a, b in pairwise(bounds)
    ]


def _changed(widths: Array, row: int, since: int, end: bool) -> bool:
    """Whether the gripper has come to another opening by a row, and rests there."""
    rests = end or abs(float(widths[row] - widths[row - 1])) < GRIPPED / 10.0
    return rests and abs(float(widths[row] - widths[since])) > GRIPPED


def drawn_share(most: float, seed: int) -> float:
    """How much of a demonstration is gone: uniform from 0 to ``most``, from the seed."""
    return float(np.random.default_rng([seed, 0xDE30]).uniform(0.0, most))
