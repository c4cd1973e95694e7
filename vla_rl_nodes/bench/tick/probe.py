"""A thread that only sleeps, at the highest priority: when it is late, the machine itself was.

A virtual machine that its host has stopped for 20 ms looks from inside like a tick that came 20 ms
late. The probe tells the two apart, as cyclictest does.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

PERIOD_NS = 2_000_000
STALL_NS = 1_000_000  # later than this is written down


def watch(going: Callable[[], bool]) -> list[tuple[int, int]]:
    """Sleeps to absolute deadlines; the stalls as (due, woken), monotonic clock, nanoseconds."""
    stalls: list[tuple[int, int]] = []
    due = time.monotonic_ns()
    while going():
        due += PERIOD_NS
        time.sleep(max(0, due - time.monotonic_ns()) / 1e9)
        woken = time.monotonic_ns()
        if woken - due > STALL_NS:
            stalls.append((due, woken))
            due = woken
    return stalls


def main(arguments: Sequence[str] | None = None) -> int:
    """Watches until interrupted, then writes the stalls."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args(arguments)
    going = True

    def end(number: int, frame: object) -> None:
        nonlocal going
        going = False

    signal.signal(signal.SIGINT, end)
    try:
        highest = os.sched_get_priority_max(os.SCHED_FIFO)
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(highest))
        realtime = True
    except OSError:
        realtime = False
    gc.freeze()
    starter = os.getppid()
    stalls = watch(lambda: going and os.getppid() == starter)
    options.out.write_text(json.dumps({"realtime": realtime, "stalls": stalls}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
