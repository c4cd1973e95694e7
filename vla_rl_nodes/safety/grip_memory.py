"""What the gripper holds on to while the filter is disarmed."""

from __future__ import annotations

UNCHANGED_M = 0.003  # an opening that differs by less has not been changed by anybody


class GripMemory:
    """Remembers the opening that was commanded last, and what was measured then.

    Fingers that press on an object are measured wider than they are commanded. Armed with what is
    measured, they would press no longer, and the object would fall.
    """

    def __init__(self) -> None:
        self._last: tuple[float, float] | None = None

    def follow(self, commanded: float | None, measured: float | None) -> None:
        """Takes this tick's openings, m; None where there is none."""
        if commanded is not None and measured is not None:
            self._last = commanded, measured

    def opening(self, measured: float) -> float:
        """The opening to go on with, m: the narrower one that was commanded last where nothing has
        moved the fingers since, and else what is measured."""
        if self._last is None:
            return measured
        commanded, before = self._last
        same = abs(measured - before) < UNCHANGED_M
        return min(commanded, measured) if same else measured
