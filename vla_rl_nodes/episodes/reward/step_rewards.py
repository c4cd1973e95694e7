"""Rewards that add up, told so that replay's rule counts each of them exactly once.

Replay gives a step (t_k, t_k+1] the newest reward in it. A judge that says by how much things got
better since its last verdict speaks at its own times, perhaps twice in one step and not at all in
the next. So what is told is the sum since the step's beginning: the newest one is complete.
"""

from __future__ import annotations

from bisect import bisect_left, insort

_KEPT = 64  # ticks; a verdict that is later than three seconds is not published anyway


class StepRewards:
    """Sums of rewards since the last control tick; stamps never go back."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forgets everything, for a new episode."""
        self._ticks: list[int] = []
        self._told: list[tuple[int, float]] = []  # stamp and reward, of the present step

    def tick(self, stamp_ns: int) -> None:
        """A control tick: a step ends here and the next begins behind it."""
        insort(self._ticks, stamp_ns)
        del self._ticks[:-_KEPT]

    def add(self, stamp_ns: int, reward: float) -> tuple[int, float]:
        """The stamp and the reward to tell, with one more verdict's reward.

        A verdict that is older than what was told last goes with that one's stamp: of two
        messages with one stamp the later counts.
        """
        told_ns = max(stamp_ns, self._told[-1][0]) if self._told else stamp_ns
        ended = bisect_left(self._ticks, told_ns) - 1
        if ended >= 0:
            self._told = [entry for entry in self._told if entry[0] > self._ticks[ended]]
        self._told.append((told_ns, reward))
        return told_ns, sum(entry[1] for entry in self._told)
