"""The straight way in joint space from one target to the next, and the way back."""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class Line:
    """A joint reference that reaches each new target one control period after it is given.

    Args:
        q: where it begins [n], rad.
        ticks: filter ticks in a control period.
        memory: how many targets are remembered for the way back.
    """

    def __init__(self, q: Array, ticks: int, memory: int) -> None:
        self._ticks = ticks
        self._past: deque[Array] = deque(maxlen=memory)
        self.restart(q)

    def restart(self, q: Array) -> None:
        """Begins anew at ``q`` [n]; the way back stays."""
        self.start, self.end, self._done = q.copy(), q.copy(), self._ticks

    @property
    def now(self) -> Array:
        """The reference at this tick [n]."""
        if self._done >= self._ticks:
            return self.end
        now: Array = self.start + (self.end - self.start) * (self._done / self._ticks)
        return now

    def go(self, q: Array) -> None:
        """Heads for ``q`` [n] from where the reference is."""
        self._past.append(self.end)
        self.start, self.end, self._done = self.now, q, 0

    def back(self) -> bool:
        """Heads for the target before the present one; False when there is none."""
        if not self._past:
            return False
        before = self._past.pop()
        self.start, self.end, self._done = self.now, before, 0
        return True

    def advance(self) -> Array:
        """The reference one filter tick later [n]."""
        self._done = min(self._done + 1, self._ticks)
        return self.now
