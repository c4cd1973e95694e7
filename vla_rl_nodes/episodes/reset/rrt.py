"""RRT-Connect in joint space, seeded, with shortcutting."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.episodes.reset.check import finer

Array = NDArray[np.float64]
Free = Callable[[Array], bool]

STRIDE = 0.35  # rad, farthest that a tree grows at once, in joint-space distance
LOOK = 0.06  # rad between two configurations that are looked at on an edge
SAMPLES = 3000
SHORTCUTS = 120


class _Tree:
    def __init__(self, root: Array) -> None:
        self._points = np.empty((64, len(root)))
        self._points[0] = root
        self._parents = [0]

    def nearest(self, q: Array) -> int:
        gap = self._points[: len(self._parents)] - q
        return int(np.argmin((gap * gap).sum(axis=1)))

    def point(self, index: int) -> Array:
        found: Array = self._points[index]
        return found

    def add(self, q: Array, parent: int) -> int:
        count = len(self._parents)
        if count == len(self._points):
            self._points = np.concatenate([self._points, np.empty_like(self._points)])
        self._points[count] = q
        self._parents.append(parent)
        return count

    def way(self, index: int) -> list[Array]:
        """From the root to a point."""
        found = [self._points[index].copy()]
        while index:
            index = self._parents[index]
            found.append(self._points[index].copy())
        return found[::-1]


def connect(
    start: Array, goal: Array, lower: Array, upper: Array, free: Free, seed: int, limit_s: float
) -> Array | None:
    """A way [k, n] from ``start`` to ``goal`` through what is free; None where none is found.

    Two trees grow from the ends towards each other (Kuffner and LaValle 2000); then random
    shortcuts are tried. The same seed gives the same way while the time suffices.

    Args:
        start: joint positions [n], rad.
        goal: joint positions [n], rad.
        lower: of the samples [n].
        upper: of the samples [n].
        free: whether every row of a path [m, n] may be passed.
        seed: of the samples.
        limit_s: longest search.
    """
    deadline = time.monotonic() + limit_s
    rng = np.random.default_rng([seed, 0x88C7])
    if not free(np.stack([goal])):
        return None
    one, other, forward = _Tree(start), _Tree(goal), True
    for _ in range(SAMPLES):
        if time.monotonic() > deadline:
            return None
        reached, _ = _extend(one, rng.uniform(lower, upper), free)
        if reached is not None:
            meeting, met = _grow(other, one.point(reached), free)
            if met and meeting is not None:
                way = one.way(reached)[:-1] + other.way(meeting)[::-1]
                return _shortened(np.array(way if forward else way[::-1]), free, rng)
        one, other, forward = other, one, not forward
    return None


def _extend(tree: _Tree, towards: Array, free: Free) -> tuple[int | None, bool]:
    """One stride towards a point: the new point's index, and whether it is that point."""
    nearest = tree.nearest(towards)
    origin = tree.point(nearest)
    gap = towards - origin
    length = float(np.sqrt(gap @ gap))
    arrives = length <= STRIDE
    q = towards if arrives else origin + gap * (STRIDE / length)
    if not free(finer(np.stack([origin, q]), LOOK)[1:]):
        return None, False
    return tree.add(q, nearest), arrives


def _grow(tree: _Tree, towards: Array, free: Free) -> tuple[int | None, bool]:
    """Strides towards a point until it is reached or something is in the way."""
    last: int | None = None
    while True:
        index, arrives = _extend(tree, towards, free)
        if index is None or arrives:
            return (last if index is None else index), arrives
        last = index


def _shortened(way: Array, free: Free, rng: np.random.Generator) -> Array:
    """Leaves out points between two of the way where the straight line is free."""
    for _ in range(SHORTCUTS):
        if len(way) < 3:
            break
        a, b = sorted(rng.choice(len(way), 2, replace=False).tolist())
        if b - a > 1 and free(finer(way[[a, b]], LOOK)[1:]):
            way = np.concatenate([way[: a + 1], way[b:]])
    return way
