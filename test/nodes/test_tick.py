"""The tick thread counts, skips what it has missed, and tells a failure once."""

from __future__ import annotations

import threading
import time
from itertools import pairwise

from vla_rl_nodes.nodes.tick import TickThread

MS = 1_000_000


def test_missed_ticks_are_skipped_not_made_up() -> None:
    starts: list[int] = []
    overran = threading.Event()
    enough = threading.Event()

    def tick(late_ns: int) -> None:
        assert late_ns >= 0
        starts.append(time.monotonic_ns())
        if len(starts) == 3:
            overran.wait(0.035)  # three and a half periods
        if len(starts) >= 8:
            enough.set()

    thread = TickThread(10 * MS, tick, lambda line: None)
    thread.start()
    assert enough.wait(5.0)
    thread.stop()
    assert thread.skipped >= 2  # and the last that was missed is made late
    # Ticks made and skipped together are the periods that have passed: none was made up.
    periods = (starts[-1] - starts[0]) / (10 * MS)
    assert len(starts) - 1 <= periods + 1
    assert len(starts) - 1 + thread.skipped <= periods + 2


def test_each_tick_stands_on_the_grid_and_knows_what_was_missed() -> None:
    period = 5 * MS
    ticks: list[tuple[int, int, int, int]] = []
    enough = threading.Event()

    def tick(late_ns: int) -> None:
        now = time.monotonic_ns()
        ticks.append((thread.planned_ns, thread.missed, late_ns, now))
        if len(ticks) in (2, 5):
            enough.wait(0.013)  # into the third deadline
        if len(ticks) >= 9:
            enough.set()

    thread = TickThread(period, tick, lambda line: None)
    thread.start()
    assert enough.wait(5.0)
    thread.stop()
    for (before, _, _, _), (planned, missed, late_ns, now) in pairwise(ticks):
        assert planned - before == (1 + missed) * period
        assert late_ns // period == missed
        assert planned <= now
    assert min(ticks[2][1], ticks[5][1]) >= 1
    assert thread.skipped >= sum(missed for _, missed, _, _ in ticks)


def test_a_failing_tick_ends_the_thread_and_is_told_once() -> None:
    told: list[str] = []
    done = threading.Event()

    def failed(line: str) -> None:
        told.append(line)
        done.set()

    def tick(late_ns: int) -> None:
        raise ValueError("arm on fire")

    thread = TickThread(1 * MS, tick, failed)
    thread.start()
    assert done.wait(5.0)
    thread.stop()
    assert len(told) == 1
    assert "arm on fire" in told[0] and "\n" not in told[0]
    assert thread.ticks == 0
