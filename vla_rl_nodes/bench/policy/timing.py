"""Times several things side by side, so that a busy moment of the machine meets all of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

Arguments = TypeVar("Arguments")

_BLOCK = 20  # calls in a row: enough for caches to belong to one subject, as on a robot


@dataclass(frozen=True)
class Times:
    """How long calls took, in milliseconds on the monotonic clock."""

    calls: int
    p5_ms: float  # what it takes when nothing else comes between
    p50_ms: float
    p99_ms: float
    mean_ms: float
    max_ms: float


def interleaved(
    subjects: Mapping[str, Callable[[Arguments], object]],
    arguments: Sequence[Arguments],
    calls: int,
    seed: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
    clock_ns: Callable[[], int] = time.perf_counter_ns,
) -> dict[str, Times]:
    """Calls every subject ``calls`` times, in blocks whose order changes from round to round.

    Args:
        subjects: functions by name; they were warmed up.
        arguments: taken in turn, the same for every subject.
        calls: of each subject.
        seed: of the order.
        progress: told after each round how many calls of each subject are done, and of how many.
        clock_ns: monotonic nanoseconds.
    """
    order = np.random.default_rng(seed)
    names = list(subjects)
    taken: dict[str, list[int]] = {name: [] for name in names}
    done = 0
    while done < calls:
        block = range(done, min(done + _BLOCK, calls))
        for index in order.permutation(len(names)):
            name = names[index]
            call, times = subjects[name], taken[name]
            for number in block:
                given = arguments[number % len(arguments)]
                begun = clock_ns()
                call(given)
                times.append(clock_ns() - begun)
        done = block.stop
        progress(done, calls)
    return {name: _times(values) for name, values in taken.items()}


def _times(nanoseconds: Sequence[int]) -> Times:
    values = np.array(nanoseconds, dtype=np.float64) / 1e6
    p5, p50, p99 = np.percentile(values, [5, 50, 99])
    return Times(
        len(values),
        round(float(p5), 6),
        round(float(p50), 6),
        round(float(p99), 6),
        round(float(values.mean()), 6),
        round(float(values.max()), 6),
    )
