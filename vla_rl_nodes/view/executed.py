"""The way that a point of the robot took in the last seconds, thinned."""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# Two samples further apart than any arm moves meanwhile are of two motions: the arm was put
# somewhere, in a simulator or while nothing was heard.
APART = 0.1  # m


class ExecutedPath:
    """Points with their stamps, those that lie close together left out.

    The newest point is always among them, and every point that was left out lies within the
    spacing of the one kept before it.

    Args:
        seconds: how long a point is kept.
        spacing: m between two points at the least, but for the newest.
    """

    def __init__(self, seconds: float, spacing: float) -> None:
        self._kept_ns, self._spacing = round(seconds * 1e9), spacing
        self._points: deque[tuple[int, Array]] = deque()
        self._newest: tuple[int, Array] | None = None

    def add(self, stamp_ns: int, point: Array) -> None:
        """Takes in a point [3], m, measured at ``stamp_ns``.

        An older stamp than the last one's begins anew, as do two points that lie far apart.
        """
        if self._newest is not None:
            back = stamp_ns < self._newest[0]
            if back or np.linalg.norm(point - self._newest[1]) > APART:
                self._points.clear()
        self._newest = stamp_ns, point
        kept = self._points[-1][1] if self._points else None
        if kept is None or np.linalg.norm(point - kept) >= self._spacing:
            self._points.append(self._newest)
        while self._points and stamp_ns - self._points[0][0] > self._kept_ns:
            self._points.popleft()

    def points(self) -> tuple[list[int], Array]:
        """Stamps, ascending, and points [n, 3]."""
        rows = list(self._points)
        if self._newest is not None and (not rows or rows[-1][0] != self._newest[0]):
            rows.append(self._newest)
        return [stamp for stamp, _ in rows], np.array([at for _, at in rows]).reshape(-1, 3)
