"""Validates what comes in, one stream at a time, and keeps the newest good sample."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.safety.reasons import Reason
from vla_rl_nodes.safety.state import Instant, Problem

Array = NDArray[np.float64]
Vector = Sequence[float] | Array


class Refusal(NamedTuple):
    """Why an input was not taken: one bit, and one line for a person."""

    reason: Reason
    message: str


class Sample(NamedTuple):
    """A validated named vector: stamp in ns, arrival, values [n] in the expected order."""

    stamp_ns: int
    arrival: Instant
    values: Array

    def age_ns(self, now: Instant) -> int:
        """The greater of the ages by header stamp (node's clock) and by arrival (steady)."""
        return max(now.ros_ns - self.stamp_ns, now.steady_ns - self.arrival.steady_ns)


class Inbox:
    """The newest valid sample of one named-vector stream.

    Args:
        place: what the stream is called in messages.
        names: the names that every sample must have, each once, in any order.
        max_age_ns: how old a sample may be when it arrives and when it is used.
        future_ns: how far ahead of the clock a stamp may be.
        stale: the reason for too old a sample.
    """

    def __init__(
        self, place: str, names: Sequence[str], max_age_ns: int, future_ns: int, stale: Reason
    ) -> None:
        self.max_age_ns = max_age_ns
        self.future_ns = future_ns
        self.latest: Sample | None = None
        self._place = place
        self._names = tuple(names)
        self._order = {name: i for i, name in enumerate(self._names)}
        self._stale = stale
        self._last_stamp_ns: int | None = None

    def offer(
        self,
        stamp_ns: int,
        arrival: Instant,
        names: Sequence[str],
        values: Sequence[float] | Array,
    ) -> Refusal | None:
        """Takes a sample, or says why not; a refused sample changes nothing."""
        count = len(self._names)
        if len(names) != count or len(values) != count:
            return self._refusal(
                Reason.WRONG_LENGTH,
                f"has {len(names)} names and {len(values)} values, {count} are expected",
            )
        if tuple(names) != self._names and set(names) != self._order.keys():
            unknown = [name for name in names if name not in self._order] or list(names)
            return self._refusal(
                Reason.WRONG_NAMES,
                f"names {', '.join(map(str, unknown[:3]))}; {', '.join(self._names)} are expected",
            )
        try:
            given = np.asarray(values, dtype=np.float64)
        except (TypeError, ValueError, OverflowError):
            return self._refusal(Reason.NON_FINITE, "holds a value that is no number")
        if given.shape != (count,):
            return self._refusal(Reason.WRONG_LENGTH, f"is no list of {count} numbers")
        if not np.isfinite(given).all():
            return self._refusal(Reason.NON_FINITE, "holds a value that is not finite")
        if stamp_ns - arrival.ros_ns > self.future_ns:
            ahead = (stamp_ns - arrival.ros_ns) / 1e6
            return self._refusal(Reason.FUTURE_STAMP, f"is stamped {ahead:.1f} ms ahead of now")
        if arrival.ros_ns - stamp_ns > self.max_age_ns:
            age = (arrival.ros_ns - stamp_ns) / 1e6
            return self._refusal(
                self._stale, f"is {age:.1f} ms old, {self.max_age_ns / 1e6:.1f} ms are allowed"
            )
        if self._last_stamp_ns is not None and stamp_ns <= self._last_stamp_ns:
            return self._refusal(Reason.DUPLICATE, "has the stamp of an earlier one, or an older")
        ordered = np.empty(count)
        ordered[[self._order[name] for name in names]] = given
        self._last_stamp_ns = stamp_ns
        self.latest = Sample(stamp_ns, arrival, ordered)
        return None

    def problem(self, now: Instant) -> Problem | None:
        """What is wrong with the newest sample as a measurement to rely on now, if anything is.

        It has to be there, no older than it may be by its stamp and by its arrival, and not
        stamped ahead of the clock, as it is when the clock was set back.
        """
        sample = self.latest
        if sample is None:
            return Problem(self._stale, f"the {self._place} has not come")
        age_ns = sample.age_ns(now)
        if age_ns > self.max_age_ns:
            return Problem(self._stale, f"the {self._place} is {age_ns / 1e6:.0f} ms old")
        if sample.stamp_ns - now.ros_ns > self.future_ns:
            return Problem(Reason.FUTURE_STAMP, f"the clock ran backwards past the {self._place}")
        return None

    def clear(self) -> None:
        """Forgets the sample, but not its stamp: it cannot come again."""
        self.latest = None

    def _refusal(self, reason: Reason, problem: str) -> Refusal:
        return Refusal(reason, f"{self._place} {problem}")
