"""A thread that ticks on absolute monotonic deadlines; a missed tick is skipped, never made up."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable


class _Thread(threading.Thread):
    """A thread that ticks, so that it can be told from the others of its process."""


def ticking_threads() -> set[int]:
    """The system's numbers of this process's running tick threads."""
    return {
        thread.native_id
        for thread in threading.enumerate()
        if isinstance(thread, _Thread) and thread.native_id is not None
    }


class TickThread:
    """Calls ``tick(lateness_ns)`` every period from its own thread.

    Deadlines are multiples of the period from the start, on the monotonic clock, so that errors
    do not add up. Those that have passed by when a tick begins, but for the last one, are skipped
    and counted: a burst of make-up ticks would move a robot faster than it was told to move.

    While ``tick`` runs, ``planned_ns`` is the deadline that it stands for, less than a period
    ago on the monotonic clock, and ``missed`` how many were skipped just before it.

    Args:
        period_ns: time between ticks, nanoseconds.
        tick: called with the time since the first deadline after the last tick, nanoseconds.
        failed: called once with one line when ``tick`` raises; the thread then ends.
        name: the thread's name.
    """

    def __init__(
        self,
        period_ns: int,
        tick: Callable[[int], None],
        failed: Callable[[str], None],
        name: str = "tick",
    ) -> None:
        self.period_ns = period_ns
        self.ticks = 0
        self.skipped = 0
        self.planned_ns = 0
        self.missed = 0
        self._tick = tick
        self._failed = failed
        self._stop = threading.Event()
        self._thread = _Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Starts ticking."""
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread after the tick in progress."""
        self._stop.set()
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._thread.join(timeout=2.0)

    def _run(self) -> None:
        deadline = time.monotonic_ns() + self.period_ns
        while True:
            wait = deadline - time.monotonic_ns()
            if self._stop.wait(max(wait, 0) / 1e9):
                return
            late = time.monotonic_ns() - deadline
            if late < 0:
                continue
            self.missed = late // self.period_ns
            self.skipped += self.missed
            self.planned_ns = deadline + self.missed * self.period_ns
            try:
                self._tick(late)
            except Exception as error:  # the last stand: say it and let the node stop
                where = traceback.extract_tb(error.__traceback__)[-1]
                self._failed(f"{type(error).__name__}: {error} ({where.name}:{where.lineno})")
                return
            self.ticks += 1
            deadline = self.planned_ns + self.period_ns
