"""A bounded buffer of stamped samples that answers the alignment rule."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from vla_rl_nodes.contract.align import newest_at_or_before
from vla_rl_nodes.errors import InputError

FUTURE_TOLERANCE_NS = 20_000_000


def check_stamp(place: str, stamp_ns: int, now_ns: int, stale_ns: int) -> None:
    """Refuses a capture stamp that lies in the future or is too old on arrival.

    Args:
        place: the topic.
        stamp_ns: capture time, nanoseconds.
        now_ns: arrival time on the same clock, nanoseconds.
        stale_ns: greatest age on arrival, nanoseconds.

    Raises:
        InputError: naming the topic and how far the stamp is off.
    """
    age = now_ns - stamp_ns
    if age < -FUTURE_TOLERANCE_NS:
        raise InputError(
            place, f"is stamped {-age / 1e9:.3f} s in the future", "synchronise the clocks"
        )
    if age > stale_ns:
        raise InputError(
            place,
            f"is {age / 1e9:.3f} s old on arrival, at most {stale_ns / 1e9:.3f} s is used",
            "check the publisher, the network and the clocks",
        )


@dataclass(frozen=True)
class Sample:
    """One value and its capture time."""

    stamp_ns: int
    value: NDArray[Any]


class StampedBuffer:
    """The newest samples of one stream, in order of capture.

    Args:
        place: the topic, named when a sample is refused.
        capacity: how many samples are kept.
        stale_ns: a sample older than this on arrival is refused.
    """

    def __init__(self, place: str, capacity: int = 32, stale_ns: int = 1_000_000_000) -> None:
        self._place = place
        self._capacity = capacity
        self._stale_ns = stale_ns
        self._stamps: list[int] = []
        self._samples: list[Sample] = []

    def add(self, sample: Sample, now_ns: int) -> None:
        """Keeps a sample, wherever its stamp puts it.

        Raises:
            InputError: its stamp lies in the future, is stale, or is there already; nothing is
                kept then.
        """
        check_stamp(self._place, sample.stamp_ns, now_ns, self._stale_ns)
        index = bisect_left(self._stamps, sample.stamp_ns)
        if index < len(self._stamps) and self._stamps[index] == sample.stamp_ns:
            raise InputError(self._place, "came twice with one stamp", "check for two publishers")
        self._stamps.insert(index, sample.stamp_ns)
        self._samples.insert(index, sample)
        del self._stamps[: -self._capacity], self._samples[: -self._capacity]

    def newest(self, at_ns: int, max_age_ns: int) -> Sample | None:
        """The newest sample at or before a time, or None when none is young enough."""
        index = newest_at_or_before(self._stamps, at_ns, max_age_ns)
        return None if index is None else self._samples[index]
