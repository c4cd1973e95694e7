"""Inference that takes a given number of control ticks, for simulated time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from vla_rl_nodes.chunking.worker import Done

Job = TypeVar("Job")
Answer = TypeVar("Answer")


class DelayedWorker(Generic[Job, Answer]):
    """Computes a job at once and keeps the answer back for some control ticks.

    A tick is what lies between two calls of :meth:`begin_tick`.

    Args:
        compute: called with a job in :meth:`submit`.
        delay: ticks from a job to its answer; called with the job's number. 0 answers at once.
        milliseconds_per_tick: for the times in the answers.
    """

    def __init__(
        self,
        compute: Callable[[Job], Answer],
        delay: Callable[[int], int],
        milliseconds_per_tick: float,
    ) -> None:
        self._compute, self._delay = compute, delay
        self._tick_ns = round(milliseconds_per_tick * 1e6)
        self._now = self._jobs = 0
        self._pending: deque[tuple[int, Done[Job, Answer]]] = deque()

    @property
    def busy(self) -> bool:
        """Whether an answer is kept back."""
        return bool(self._pending)

    def begin_tick(self) -> None:
        """Lets one control tick pass."""
        self._now += 1

    def submit(self, job: Job) -> None:
        """Computes a job; errors are kept for :meth:`finished`, as a thread would."""
        ticks = self._delay(self._jobs)
        self._jobs += 1
        answer, error = None, None
        try:
            answer = self._compute(job)
        except Exception as caught:
            error = caught
        started = self._now * self._tick_ns
        done = Done(job, answer, error, started, started + ticks * self._tick_ns)
        self._pending.append((self._now + ticks, done))

    def finished(self) -> list[Done[Job, Answer]]:
        """The answers whose time has come, oldest first."""
        ready = []
        while self._pending and self._pending[0][0] <= self._now:
            ready.append(self._pending.popleft()[1])
        return ready

    def stop(self, wait_s: float = 0.0) -> None:
        """Forgets what is kept back."""
        self._pending.clear()
