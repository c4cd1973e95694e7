"""Ticks against their absolute schedule: how many were kept, and how late they started."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

Times = NDArray[np.int64]

# A start so much before its deadline is an error of reading, not a tick of the period before.
_READING_NS = 100_000


@dataclass(frozen=True)
class Block:
    """One uninterrupted run of a variant, times in nanoseconds on the monotonic clock.

    Attributes:
        variant: its name.
        period_ns: time between deadlines.
        ticks: how many deadlines were to be met.
        deadlines_ns: of each tick that ran, as its source believed it, a few microseconds
            late.
        starts_ns: when each of them started.
        ends_ns: when each of them had done its work.
        inference_ms: how long each request for a chunk took.
        blind: ticks that had no observation young enough.
        acted: ticks that had an action of a chunk.
        realtime: whether the ticking thread had a real-time priority.
    """

    variant: str
    period_ns: int
    ticks: int
    deadlines_ns: list[int]
    starts_ns: list[int]
    ends_ns: list[int]
    inference_ms: list[float]
    blind: int
    acted: int
    realtime: bool

    @property
    def complete(self) -> bool:
        """Whether anything was measured."""
        return len(self.starts_ns) > 0

    def to_json(self) -> str:
        """The block as one JSON object."""
        return json.dumps(asdict(self))


@dataclass(frozen=True)
class Kept:
    """A block's ticks on their schedule.

    Attributes:
        expected: deadlines of the block.
        lost_ns: the deadlines after which no tick started before the next one.
        period_ns: time between deadlines.
        lateness_ms: of each tick that started: its start less its own deadline.
    """

    expected: int
    lost_ns: Times
    period_ns: int
    lateness_ms: NDArray[np.float64]

    def lost_in(self, stalls: Sequence[tuple[int, int]]) -> int:
        """How many were lost while the machine stood still for half their period or more.

        Args:
            stalls: (from, to) on the same clock, nanoseconds, not overlapping.
        """
        count = 0
        for deadline in self.lost_ns:
            end = deadline + self.period_ns
            still = sum(max(0, min(to, end) - max(since, deadline)) for since, to in stalls)
            count += bool(2 * still >= self.period_ns)
        return count


def kept(block: Block) -> Kept:
    """Lays a block's ticks on a grid of whole periods.

    Deadline k is kept when a tick started in the period that follows it. A source that counts
    from its last tick instead of from the grid drifts off it, and is then found late.
    """
    deadlines = np.array(block.deadlines_ns, dtype=np.int64)
    starts = np.array(block.starts_ns, dtype=np.int64)
    period = block.period_ns
    index = np.rint((deadlines - deadlines[0]) / period).astype(np.int64)
    # A believed deadline is read beside a clock that runs on, so it errs to the late side only.
    origin = deadlines[0] + int((deadlines - deadlines[0] - index * period).min())
    lateness = starts - (origin + index * period)
    read_early = (lateness < 0) & (lateness > -_READING_NS)
    started_in = index + np.where(read_early, 0, lateness // period)
    lost = np.setdiff1d(np.arange(block.ticks), started_in)
    return Kept(block.ticks, origin + lost * period, period, lateness / 1e6)


def figures(
    blocks: Sequence[Block], stalls: Sequence[tuple[int, int]] | None = None
) -> dict[str, float | int | bool | None]:
    """The figures of all blocks of one variant together.

    Args:
        blocks: of the variant.
        stalls: of the machine, (from, to) in nanoseconds; None where they are not known.
    """
    results = [kept(block) for block in blocks]
    expected = sum(result.expected for result in results)
    lost = sum(len(result.lost_ns) for result in results)
    stalled = None if stalls is None else sum(result.lost_in(stalls) for result in results)
    lateness = np.concatenate([result.lateness_ms for result in results])
    work = np.concatenate([(np.array(b.ends_ns) - np.array(b.starts_ns)) / 1e6 for b in blocks])
    inference = np.array([value for block in blocks for value in block.inference_ms])
    return {
        "ticks_expected": expected,
        "ticks_lost": lost,
        "ticks_lost_in_stalls": stalled,
        "ticks_kept": (expected - lost) / expected,
        # What the machine would have kept had it not stood still; None where nothing is left.
        "ticks_kept_outside_stalls": None
        if stalled in (None, expected)
        else (expected - lost) / (expected - stalled),
        **percentiles("lateness", lateness),
        **percentiles("work", work),
        "realtime_priority": all(block.realtime for block in blocks),
        "blind_ticks": sum(block.blind for block in blocks),
        "ticks_with_chunk": sum(block.acted for block in blocks),
        "inferences": len(inference),
        **percentiles("inference", inference),
    }


def percentiles(name: str, values: NDArray[np.float64]) -> dict[str, float | None]:
    """p50, p99 and the maximum in milliseconds; None where there is nothing to tell."""
    if not len(values):
        return {f"{name}_{part}_ms": None for part in ("p50", "p99", "max")}
    p50, p99 = np.percentile(values, [50.0, 99.0])
    return {
        f"{name}_p50_ms": round(float(p50), 4),
        f"{name}_p99_ms": round(float(p99), 4),
        f"{name}_max_ms": round(float(values.max()), 4),
    }
