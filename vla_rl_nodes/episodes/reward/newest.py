"""A thread that judges the newest look: a slow judge skips looks and never makes them queue."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

Job = TypeVar("Job")
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Answered(Generic[Job, Answer]):
    """A job with its answer or its error, and how long it took on the monotonic clock, ns."""

    job: Job
    answer: Answer | None
    error: Exception | None
    took_ns: int


class NewestWorker(Generic[Job, Answer]):
    """Computes one job at a time; of those that wait meanwhile, only the newest stays.

    A compute function that never returns holds up its own thread and nothing else: the thread is
    a daemon, and nobody waits for it.

    Args:
        compute: called with a job in the worker's thread; should release the GIL.
        tell: called in that thread when there is something in :meth:`collect`.
        name: the thread's name.
    """

    def __init__(
        self, compute: Callable[[Job], Answer], tell: Callable[[], None], name: str
    ) -> None:
        self.skipped = 0
        self._compute, self._tell = compute, tell
        self._changed = threading.Condition()
        self._waiting: Job | None = None
        self._busy_since_ns: int | None = None
        self._answered: list[Answered[Job, Answer]] = []
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    @property
    def busy_s(self) -> float:
        """For how long it has been at the present job, seconds; 0 where it has none."""
        since = self._busy_since_ns
        return 0.0 if since is None else (time.monotonic_ns() - since) / 1e9

    def offer(self, job: Job) -> None:
        """Hands a job over without waiting; one that waits already is skipped for it."""
        with self._changed:
            self.skipped += self._waiting is not None
            self._waiting = job
            self._changed.notify()

    def collect(self) -> list[Answered[Job, Answer]]:
        """What was answered since the last call, oldest first."""
        with self._changed:
            answered, self._answered = self._answered, []
        return answered

    def stop(self, wait_s: float) -> None:
        """Ends the thread after the present job, and waits for it so long at most."""
        with self._changed:
            self._stopped = True
            self._changed.notify()
        self._thread.join(timeout=wait_s)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting is not None or self._stopped)
                if self._stopped:
                    return
                job, self._waiting = self._waiting, None
            assert job is not None
            started = self._busy_since_ns = time.monotonic_ns()
            answer, error = None, None
            try:
                answer = self._compute(job)
            except Exception as caught:  # told to the node, which says it
                error = caught
            self._busy_since_ns = None
            took = time.monotonic_ns() - started
            with self._changed:
                if self._stopped:
                    return
                self._answered.append(Answered(job, answer, error, took))
            self._tell()
