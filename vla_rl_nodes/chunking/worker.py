"""Runs inference beside the control tick: one job at a time, never in the tick's thread."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

Job = TypeVar("Job")
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Done(Generic[Job, Answer]):
    """An answered job: the answer or the error, and how long it took on the monotonic clock."""

    job: Job
    answer: Answer | None
    error: Exception | None
    started_ns: int
    ended_ns: int

    @property
    def milliseconds(self) -> float:
        """Time from start to end."""
        return (self.ended_ns - self.started_ns) / 1e6


class InferenceWorker(Generic[Job, Answer]):
    """A thread that computes one job at a time; the compute function must release the GIL.

    Args:
        compute: called with a job in the worker's thread.
    """

    def __init__(self, compute: Callable[[Job], Answer]) -> None:
        self._compute = compute
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._done: queue.SimpleQueue[Done[Job, Answer]] = queue.SimpleQueue()
        self._open = 0  # submitted and not yet collected; touched by the submitting thread only
        self._thread = threading.Thread(target=self._run, name="inference", daemon=True)
        self._thread.start()

    @property
    def busy(self) -> bool:
        """Whether a job is waiting, being computed, or not collected yet."""
        return self._open > 0

    def submit(self, job: Job) -> None:
        """Hands a job over without waiting; from the thread that calls :meth:`finished`."""
        self._open += 1
        self._jobs.put(job)

    def finished(self) -> list[Done[Job, Answer]]:
        """The jobs that have ended since the last call, oldest first."""
        done = []
        while True:
            try:
                done.append(self._done.get_nowait())
            except queue.Empty:
                self._open -= len(done)
                return done

    def stop(self, wait_s: float = 2.0) -> None:
        """Ends the thread after the job in progress and waits for it so long at most."""
        self._jobs.put(None)
        self._thread.join(timeout=wait_s)

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            started = time.monotonic_ns()
            answer, error = None, None
            try:
                answer = self._compute(job)
            except Exception as caught:  # told to the tick, which decides what to do
                error = caught
            self._done.put(Done(job, answer, error, started, time.monotonic_ns()))
