"""Topics and timers of the graph in simulated time."""

from __future__ import annotations

from collections import deque
from typing import Any

from vla_rl_nodes.contract.align import newest_at_or_before


class DelayedStream:
    """The newest samples of one topic, each of use only from its arrival on."""

    def __init__(self) -> None:
        self._samples: deque[tuple[int, int, Any]] = deque(maxlen=32)

    def add(self, stamp_ns: int, arrival_ns: int, value: Any) -> None:
        """Keeps a sample; stamps come in ascending order."""
        self._samples.append((stamp_ns, arrival_ns, value))

    def newest(self, at_ns: int, max_age_ns: int) -> Any:
        """The value that the contract's rule chooses among those arrived, or None."""
        arrived = [sample for sample in self._samples if sample[1] <= at_ns]
        index = newest_at_or_before([stamp for stamp, _, _ in arrived], at_ns, max_age_ns)
        return None if index is None else arrived[index][2]


class Timer:
    """A periodic event, looked at once per physics step.

    Args:
        period_ns: time between events, not necessarily whole.
        first_ns: time of the first.
    """

    def __init__(self, period_ns: float, first_ns: int) -> None:
        self._period, self._next = period_ns, float(first_ns)

    def due(self, now_ns: int) -> bool:
        """Whether the next event's time has come; it is then over."""
        if now_ns < self._next:
            return False
        self._next += self._period
        return True
