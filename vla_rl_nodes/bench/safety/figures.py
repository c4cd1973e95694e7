"""What a fuzz run counts: ticks, states, reasons, and the time that a tick takes."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from vla_rl_nodes.safety.output import FilterOutput
from vla_rl_nodes.safety.reasons import Reason

SLOTS = 80_000  # of a histogram of times: 20 ms
SLOT_NS = 250  # ns; what takes longer than all slots is counted in the last


class Figures:
    """Counters of one robot's run; their size does not grow with the ticks."""

    def __init__(self) -> None:
        self.ticks = self.moving = self.exceptions = 0
        self.longest_ns = 0
        self._states: Counter[str] = Counter()
        self._reasons: Counter[Reason] = Counter()
        self._times = np.zeros((2, SLOTS), dtype=np.int64)

    def add(self, taken_ns: int, busy_ns: int, output: FilterOutput, *, moving: bool) -> None:
        """One tick that took so long, and so much of the processor's time.

        The two differ where other processes shared the processor.
        """
        self.ticks += 1
        self.moving += moving
        self._states[output.state.value] += 1
        if output.reasons:
            self._reasons[output.reasons] += 1
        self._times[0, min(taken_ns // SLOT_NS, SLOTS - 1)] += 1
        self._times[1, min(busy_ns // SLOT_NS, SLOTS - 1)] += 1
        self.longest_ns = max(self.longest_ns, taken_ns)

    def percentile_us(self, share: float, *, busy: bool = False) -> float:
        """The time below which this share of all ticks stayed, us; ``busy``: of the processor."""
        total = np.cumsum(self._times[int(busy)])
        if total[-1] == 0:
            return 0.0
        slot = int(np.searchsorted(total, share * total[-1]))
        return (slot + 1) * SLOT_NS / 1e3

    def report(self) -> dict[str, Any]:
        """The counts and times as plain numbers."""
        count = max(self.ticks, 1)
        reasons: Counter[str] = Counter()
        for found, times in self._reasons.items():
            for reason in Reason:
                if reason in found and reason.name is not None:
                    reasons[reason.name.lower()] += times
        return {
            "ticks": self.ticks,
            "exceptions": self.exceptions,
            "moving_share": round(self.moving / count, 4),
            "states": {name: round(n / count, 4) for name, n in sorted(self._states.items())},
            "reasons": {name: round(n / count, 4) for name, n in sorted(reasons.items())},
            "p50_us": round(self.percentile_us(0.50), 2),
            "p99_us": round(self.percentile_us(0.99), 2),
            "cpu_p50_us": round(self.percentile_us(0.50, busy=True), 2),
            "cpu_p99_us": round(self.percentile_us(0.99, busy=True), 2),
            "max_us": round(self.longest_ns / 1e3, 2),
        }
