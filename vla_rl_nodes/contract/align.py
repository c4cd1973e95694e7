"""The alignment rule: the newest sample captured at or before the step, never a later one."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence


def newest_at_or_before(stamps_ns: Sequence[int], at_ns: int, max_age_ns: int) -> int | None:
    """Index of the newest stamp that is not after ``at_ns`` and at most ``max_age_ns`` older.

    Args:
        stamps_ns: capture stamps in ascending order, nanoseconds.
        at_ns: the step's time, nanoseconds.
        max_age_ns: greatest age that is still used, nanoseconds.

    Returns:
        The index, or None when no sample qualifies; nothing is ever filled in.
    """
    index = bisect_right(stamps_ns, at_ns) - 1
    if index < 0 or at_ns - stamps_ns[index] > max_age_ns:
        return None
    return index
