"""When positives of a model become a success: so many in a row, none far from the last one.

A model that looks twenty times a second and is wrong in one look of a thousand would end a good
episode falsely every minute. Wrong looks that come singly never pass this rule; those that come
together, because the picture itself misleads, still do, which is why the false successes of a
model are measured on whole recorded episodes, with this rule, and not on single frames.
"""

from __future__ import annotations


class Consecutive:
    """Success after ``needed`` positive looks in a row; then it stays until :meth:`reset`.

    A negative starts the count anew, and so does a gap: what nobody looked at does not count as
    seen. A look at the same moment counts once.

    Args:
        needed: positives in a row, at least 1.
        greatest_gap_s: positives further apart than this are not in a row.
    """

    def __init__(self, needed: int, greatest_gap_s: float) -> None:
        self._needed = needed
        self._gap_ns = round(greatest_gap_s * 1e9)
        self.reset()

    def reset(self) -> None:
        """Forgets everything, for a new episode."""
        self._count = 0
        self._last_ns: int | None = None
        self._success = False

    def observe(self, stamp_ns: int, positive: bool) -> bool:
        """Whether the task counts as done, with one more look at ``stamp_ns``.

        A look that is not newer than the last one changes nothing.
        """
        last = self._last_ns
        if last is not None and stamp_ns <= last:
            return self._success
        in_a_row = last is not None and stamp_ns - last <= self._gap_ns
        self._last_ns = stamp_ns
        self._count = (self._count if in_a_row else 0) + 1 if positive else 0
        self._success = self._success or self._count >= self._needed
        return self._success
