"""What happens between an observation and an action at every control tick; no ROS, no clock."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.chunking.delays import DelayEstimate
from vla_rl_nodes.chunking.following import FOLLOWED, Following
from vla_rl_nodes.chunking.queue import ActionQueue, Counts
from vla_rl_nodes.chunking.seam import seam_log
from vla_rl_nodes.chunking.settings import ChunkingSettings
from vla_rl_nodes.chunking.strategies.make import make_queue
from vla_rl_nodes.chunking.strategies.strategy import Job, Plan, Strategy
from vla_rl_nodes.chunking.worker import Done
from vla_rl_nodes.contract.observation import Observation
from vla_rl_nodes.contract.spec import Contract

Array = NDArray[np.float64]


class Worker(Protocol):
    """Computes plans beside the tick; chunking.worker.InferenceWorker, or one with simulated
    time."""

    @property
    def busy(self) -> bool:
        """Whether a job is waiting or being computed."""

    def submit(self, job: Job) -> None:
        """Hands a job over without waiting."""

    def finished(self) -> Sequence[Done[Job, Plan]]:
        """The jobs that have ended since the last call, oldest first."""

    def stop(self, wait_s: float) -> None:
        """Takes no more jobs; waits so long at most for the one in progress."""


@dataclass(frozen=True)
class Acted:
    """What one control tick gave.

    Attributes:
        action: to be executed now [A], or None when nothing is planned.
        chunk: one that has just been taken over [H, A], or None.
        chunk_stamp_ns: control tick of its row 0.
        asked: the job that was handed over at this tick, or None.
        problems: one line each, to be told.
        values: entries for the log.
        answered: the job that ``chunk`` answers, or None.
    """

    action: Array | None
    chunk: Array | None = None
    chunk_stamp_ns: int = 0
    asked: Job | None = None
    problems: tuple[str, ...] = ()
    values: dict[str, str] = field(default_factory=dict)
    answered: Job | None = None


class ChunkRuntime:
    """Splices what has arrived, asks for the next chunk and hands out one action a tick.

    Call it from one thread. It never waits: inference runs in the worker.

    Args:
        contract: chunk length, axes and bounds.
        settings: strategy and its numbers.
        strategy: what the worker computes with; it decides how chunks are joined.
        version: of the bundle, logged with every chunk.
        worker: computes ``strategy.plan``.
        seed: of the sampling noise; with a tick's stamp it gives the noise of a chunk.
    """

    def __init__(
        self,
        contract: Contract,
        settings: ChunkingSettings,
        strategy: Strategy,
        version: str,
        worker: Worker,
        seed: int = 0,
    ) -> None:
        self.queue: ActionQueue = make_queue(settings, strategy, contract)
        self.version = version
        self.strategy = strategy
        self._worker, self._seed = worker, seed
        self._width: Array = contract.action.maximum - contract.action.minimum
        self._following: Following | None = None  # at the last tick of this episode
        self._chunk_values: dict[str, str] = {}
        self._seam_values: dict[str, str] = {}
        self._chunk_version = version

    @property
    def counts(self) -> Counts:
        """What happened since the start."""
        return self.queue.counts

    def start_episode(self) -> None:
        """Empties the queue; a chunk that is still being computed is dropped when it arrives."""
        self.queue.start_episode()
        self._following = None
        self._chunk_values, self._seam_values = {}, {}

    def hand_over(
        self, strategy: Strategy, version: str, worker: Worker, estimate: DelayEstimate
    ) -> None:
        """Another policy plans from the next request on; what is planned already goes on.

        Args:
            strategy: made with the same settings.
            version: of its bundle.
            worker: computes ``strategy.plan``; what it has finished before is thrown away.
            estimate: of its delay.
        """
        self.queue.abandon()
        self.queue.estimate = estimate
        worker.finished()
        self.strategy, self.version, self._worker = strategy, version, worker

    def tick(
        self, stamp_ns: int, observation: Observation, following: Following = FOLLOWED
    ) -> Acted:
        """One control tick.

        Args:
            stamp_ns: of the tick.
            observation: what is seen at it.
            following: whether the action will be executed. While it will not, every plan is made
                from what is seen alone, as from rest; once it is again, planning begins anew and
                there is no action before a chunk that was asked for from then on.
        """
        self._follow(following)
        problems: list[str] = []
        lost = self.queue.counts.lost
        arrived = self._splice(problems.append)
        asked = self._ask(stamp_ns, observation)
        if asked is not None and arrived is None:
            # What takes no time at all is there at once: only simulated inference does.
            arrived = self._splice(problems.append)
        planned = self.queue.take()
        values = dict(self._chunk_values)
        if following.followed:
            values |= self._seam_values
        if planned is not None:
            values["chunk_id"] = str(planned.chunk_id)
            values["chunk_index"] = str(planned.chunk_index)
            values["chunk_version"] = self._chunk_version
        counts = self.queue.counts
        if counts.lost > lost:
            problems.append("a chunk was given up: no answer came in time")
        values["starved"] = str(int(planned is None and len(self.queue.executed) > 0))
        values["late_chunks"], values["lost_chunks"] = str(counts.late), str(counts.lost)
        values["followed"] = str(int(following.followed))
        values["reprimed_ticks"] = str(counts.reprimed)
        return Acted(
            None if planned is None else planned.action,
            None if arrived is None or arrived.answer is None else arrived.answer.chunk,
            0 if arrived is None else arrived.job.stamp_ns,
            asked,
            tuple(problems),
            values,
            None if arrived is None else arrived.job,
        )

    def _follow(self, following: Following) -> None:
        """The arm may have changed hands since the last tick, and more than once."""
        before, self._following = self._following, following
        if before is not None and following.hand_backs != before.hand_backs:
            self.queue.hand_back()
            self._chunk_values, self._seam_values = {}, {}
        if self.queue.followed and not following.followed:
            self.queue.take_over()

    def _ask(self, stamp_ns: int, observation: Observation) -> Job | None:
        # A job behind another would be old before it begins.
        if self._worker.busy:
            self.queue.expire()
            return None
        request = self.queue.request()
        if request is None:
            return None
        seed = (self._seed * 1_000_003 + stamp_ns) % 2**63
        job = Job(request, stamp_ns, observation, seed)
        self._worker.submit(job)
        return job

    def _splice(self, tell: Callable[[str], None]) -> Done[Job, Plan] | None:
        used = None
        for done in self._worker.finished():
            request = done.job.request
            if done.answer is None:
                self.queue.failed(request)
                tell(f"no chunk: {done.error}")
                continue
            before = self.queue.executed
            spliced = self.queue.splice(request, done.answer.chunk)
            if not spliced.used:
                if spliced.reason:
                    tell(f"a chunk was refused: {spliced.reason}")
                continue
            used, self._chunk_version = done, self.version
            self._chunk_values = {
                "delay": str(spliced.delay),
                "prefix_length": str(request.delay),
                "noise_seed": str(done.job.noise_seed),
                "inference_ms": f"{done.milliseconds:.3f}",
                **done.answer.log,
            }
            self._seam_values = {}
            if self.queue.followed:
                self._seam_values = seam_log(before, done.answer.chunk, spliced.delay, self._width)
            if spliced.prefix_error is not None:
                self._seam_values["prefix_error"] = f"{spliced.prefix_error:.3g}"
        return used
