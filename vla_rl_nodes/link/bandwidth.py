"""A cap on bytes per second that a pause cannot save up for a burst."""

from __future__ import annotations

import time
from collections.abc import Callable

_BURST_S = 0.25
_LARGEST_PIECE = 1 << 16


class TokenBucket:
    """Says how long to wait before some bytes may go out.

    Args:
        bytes_per_s: the cap; 0 for none.
        clock: monotonic, seconds.
    """

    def __init__(self, bytes_per_s: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = bytes_per_s
        self._clock = clock
        self._burst = bytes_per_s * _BURST_S
        self._tokens = self._burst
        self._at = clock()

    @property
    def piece(self) -> int:
        """Most bytes to take at a time: a quarter second's worth, so that no wait is long."""
        if not self._rate:
            return _LARGEST_PIECE
        return max(1, min(_LARGEST_PIECE, int(self._burst)))

    def take(self, count: int) -> float:
        """Takes bytes out of the bucket, which may go below empty.

        Returns:
            Seconds to wait before they are sent.
        """
        if not self._rate:
            return 0.0
        now = self._clock()
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate)
        self._at = now
        self._tokens -= count
        return max(0.0, -self._tokens / self._rate)
