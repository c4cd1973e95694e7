"""Which control tick of an episode something was captured in."""

from __future__ import annotations

from bisect import bisect_right

_KEPT = 2000  # stamps: more than a minute and a half at 20 Hz


class TickSteps:
    """Numbers the control ticks of an episode from 0, by the order in which they come."""

    def __init__(self) -> None:
        self._stamps_ns: list[int] = []
        self._dropped = 0

    def restart(self) -> None:
        """A new episode."""
        self._stamps_ns.clear()
        self._dropped = 0

    @property
    def present(self) -> int:
        """The last tick's number; -1 before the first."""
        return self._dropped + len(self._stamps_ns) - 1

    def tick(self, stamp_ns: int) -> None:
        """One control tick; one that is not newer than the last is not counted."""
        if self._stamps_ns and stamp_ns <= self._stamps_ns[-1]:
            return
        self._stamps_ns.append(stamp_ns)
        if len(self._stamps_ns) > _KEPT:
            surplus = _KEPT // 2
            del self._stamps_ns[:surplus]
            self._dropped += surplus

    def at(self, stamp_ns: int) -> int | None:
        """The last tick at or before a time; None where that is not known."""
        index = bisect_right(self._stamps_ns, stamp_ns) - 1
        return None if index < 0 else self._dropped + index
