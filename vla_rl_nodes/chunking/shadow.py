"""A candidate plans the jobs of the policy that serves; nothing of it is executed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.chunking.delays import DelayEstimate
from vla_rl_nodes.chunking.runtime import Acted, Worker
from vla_rl_nodes.chunking.strategies.strategy import Job, Plan
from vla_rl_nodes.chunking.worker import Done
from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.policy.evidence import ShadowChunk, unusable


class Shadow:
    """Hands each answered job to the candidate and compares its chunk with what is executed.

    A job is handed over when the serving policy has answered it, so that the two do not compete
    for a processor and the candidate's time is its own.

    Args:
        contract: chunk length, axes, bounds and rate.
        worker: the candidate's.
        estimate: of the candidate's delay; it is warm when the candidate takes over.
        max_delay: ticks that a chunk may take.
        answer_ticks: ticks after which an answer is not waited for any more.
        tell: told every chunk.
    """

    def __init__(
        self,
        contract: Contract,
        worker: Worker,
        estimate: DelayEstimate,
        max_delay: int,
        answer_ticks: int,
        tell: Callable[[ShadowChunk], None],
    ) -> None:
        self._contract, self._worker, self._estimate = contract, worker, estimate
        self._max_delay, self._answer_ticks, self._tell = max_delay, answer_ticks, tell
        self._width = contract.action.maximum - contract.action.minimum
        self._period_ms = contract.period_ns / 1e6
        self._executed: NDArray[np.float64] = np.empty((0, 0))
        self._waited = 0

    def tick(self, acted: Acted) -> None:
        """Once after every control tick of the serving policy."""
        self._waited += 1
        for done in self._worker.finished():
            self._tell(self._compared(done))
        if self._worker.busy:
            if self._waited == self._answer_ticks:
                seconds = self._answer_ticks * self._period_ms / 1e3
                self._tell(ShadowChunk(0.0, True, None, f"gave no answer for {seconds:g} s"))
        elif acted.answered is not None and acted.chunk is not None:
            self._executed, self._waited = acted.chunk, 0
            self._worker.submit(acted.answered)

    def _compared(self, done: Done[Job, Plan]) -> ShadowChunk:
        ticks = int(done.milliseconds / self._period_ms) + 1  # it is seen at the next tick
        self._estimate.observe(ticks)
        late = ticks > self._max_delay
        if done.answer is None:
            return ShadowChunk(done.milliseconds, late, None, f"gave no chunk: {done.error}")
        chunk, delay = done.answer.chunk, done.job.request.delay
        problem = unusable(chunk, self._contract)
        if problem:
            return ShadowChunk(done.milliseconds, late, None, problem)
        apart = np.abs(chunk - self._executed)[delay:] / self._width
        difference = float(apart.max()) if apart.size else None
        return ShadowChunk(done.milliseconds, late, difference)
