"""Seconds that have gone by while something went on, without those in which it was held."""

from __future__ import annotations


class Stopwatch:
    """Counts while it goes; times are passed in, nanoseconds of a monotonic clock."""

    def __init__(self) -> None:
        self._counted_ns = 0
        self._since_ns: int | None = None

    def restart(self, now_ns: int, going: bool = True) -> None:
        """From zero."""
        self._counted_ns = 0
        self._since_ns = now_ns if going else None

    def go(self, going: bool, now_ns: int) -> None:
        """Goes on, or is held; nothing changes where it does so already."""
        if self._since_ns is not None:
            self._counted_ns += max(0, now_ns - self._since_ns)
        self._since_ns = now_ns if going else None

    def seconds(self, now_ns: int) -> float:
        """What it has counted."""
        going_ns = 0 if self._since_ns is None else max(0, now_ns - self._since_ns)
        return (self._counted_ns + going_ns) / 1e9
