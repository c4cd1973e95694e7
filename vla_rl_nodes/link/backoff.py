"""Waiting longer after every failure, and never in step with other robots."""

from __future__ import annotations

import random


class Backoff:
    """Exponential waits with jitter.

    Args:
        first_s: upper end of the first wait.
        longest_s: upper end of every later one.
        draw: of the jitter; a robot's own, so that a fleet does not come back all at once.
    """

    def __init__(self, first_s: float, longest_s: float, draw: random.Random) -> None:
        self._first_s, self._longest_s, self._draw = min(first_s, longest_s), longest_s, draw
        self._next_s = self._first_s

    def failed(self) -> float:
        """Seconds to wait now: between half and all of a time that doubles with each failure."""
        wait = self._next_s * self._draw.uniform(0.5, 1.0)
        self._next_s = min(self._longest_s, 2 * self._next_s)
        return wait

    def worked(self) -> None:
        """The next failure counts as the first one."""
        self._next_s = self._first_s
