"""Figures from traces: success with its interval, time to success, seams against inside."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.bench.rtc.rollout import HELD, Trace

Array = NDArray[np.float64]


def wilson(successes: int, count: int, z: float = 1.959964) -> tuple[float, float]:
    """95 % interval of a share (Wilson 1927)."""
    share = successes / count
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = (
        z
        / (1 + z * z / count)
        * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    )
    return max(0.0, middle - half), min(1.0, middle + half)


@dataclass(frozen=True)
class Bends:
    """|Δ²a| of executed actions, all axes: across a change of chunk, and inside chunks."""

    seam: Array
    inside: Array


def bends(trace: Trace) -> Bends:
    """Second differences of one episode, by whether their three actions share a chunk.

    A hold counts as a chunk of its own: standing still and starting again are seams.
    """
    second = np.abs(np.diff(trace.actions, n=2, axis=0))
    ids = trace.chunk_ids
    inside = (ids[2:] == ids[:-2]) & (ids[1:-1] == ids[:-2]) & (ids[2:] != HELD)
    moving = (ids[2:] != HELD) | (ids[1:-1] != HELD) | (ids[:-2] != HELD)
    return Bends(second[~inside & moving].ravel(), second[inside].ravel())


@dataclass(frozen=True)
class Point:
    """One strategy at one delay."""

    episodes: int
    successes: int
    success: float
    success_low: float
    success_high: float
    seconds: float | None  # mean time to success
    seam_ratio_p95: float | None
    seam_bend_p95: float | None  # metres per tick²
    inside_bend_p95: float | None
    candidates_per_chunk: float


def measure(traces: Sequence[Trace], period_s: float) -> Point:
    """The figures of some episodes."""
    successes = sum(trace.success for trace in traces)
    low, high = wilson(successes, len(traces))
    times = [trace.ticks * period_s for trace in traces if trace.success]
    parts = [bends(trace) for trace in traces]
    seam = np.concatenate([part.seam for part in parts])
    inside = np.concatenate([part.inside for part in parts])
    seam_p95 = float(np.percentile(seam, 95)) if len(seam) else None
    inside_p95 = float(np.percentile(inside, 95)) if len(inside) else None
    ratio = seam_p95 / inside_p95 if seam_p95 is not None and inside_p95 else None
    chunks = sum(trace.chunks for trace in traces)
    return Point(
        len(traces),
        successes,
        successes / len(traces),
        low,
        high,
        float(np.mean(times)) if times else None,
        ratio,
        seam_p95,
        inside_p95,
        sum(trace.candidates for trace in traces) / max(chunks, 1),
    )
