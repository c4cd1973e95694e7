"""Delayed streams never show what has not arrived, timers never drift."""

from __future__ import annotations

from itertools import pairwise

from vla_rl_nodes.sim.streams import DelayedStream, Timer


def test_a_sample_counts_from_its_arrival_on() -> None:
    stream = DelayedStream()
    stream.add(100, 110, "old")
    stream.add(200, 230, "new")
    assert stream.newest(105, 50) is None
    assert stream.newest(220, 150) == "old"
    assert stream.newest(230, 150) == "new"


def test_too_old_is_none() -> None:
    stream = DelayedStream()
    stream.add(100, 110, "old")
    assert stream.newest(200, 100) == "old"
    assert stream.newest(201, 100) is None


def test_timer_keeps_its_rate_on_a_coarse_grid() -> None:
    timer = Timer(1e9 / 30.0, 4_000_000)
    fired = [now for now in range(0, 10_000_000_000, 2_000_000) if timer.due(now)]
    assert len(fired) == 300 and fired[0] == 4_000_000
    gaps = {b - a for a, b in pairwise(fired)}
    assert gaps <= {32_000_000, 34_000_000}
