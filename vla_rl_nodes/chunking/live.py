"""The policy that acts, and beside it one that may take over: shadow, trial and way back."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

from vla_rl_nodes.chunking.delays import DelayEstimate
from vla_rl_nodes.chunking.following import FOLLOWED, Following
from vla_rl_nodes.chunking.queue import Counts, Merge
from vla_rl_nodes.chunking.runtime import Acted, ChunkRuntime, Worker
from vla_rl_nodes.chunking.settings import ChunkingSettings
from vla_rl_nodes.chunking.shadow import Shadow
from vla_rl_nodes.chunking.strategies.strategy import Strategy
from vla_rl_nodes.contract.observation import Observation
from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.policy.swap import News, Phase, Swap, SwapSettings

# Ticks whose version is known when the safety filter has answered: seconds at any rate.
_REMEMBERED_TICKS = 200


@dataclass(frozen=True)
class Planner:
    """A policy that can make chunks.

    Attributes:
        version: of its bundle.
        strategy: made of its networks.
        worker: computes ``strategy.plan`` beside the tick.
        estimate: of its delay.
    """

    version: str
    strategy: Strategy
    worker: Worker
    estimate: DelayEstimate


class LivePolicy:
    """Acts at every control tick with the policy that serves, and swaps policies without a stop.

    Any thread may call it: a lock is held for well under a millisecond, and nothing waits for a
    network. At a swap the queue goes on: the next policy continues what is planned.

    Args:
        contract: chunk length, axes and bounds.
        settings: strategy and its numbers, for every policy.
        version: of the first policy's bundle.
        strategy: of the first policy.
        make_worker: for each strategy a worker of its own.
        swap_settings: what a candidate must show.
        seed: of the sampling noise.
    """

    def __init__(
        self,
        contract: Contract,
        settings: ChunkingSettings,
        version: str,
        strategy: Strategy,
        make_worker: Callable[[Strategy], Worker],
        swap_settings: SwapSettings,
        seed: int = 0,
    ) -> None:
        self._contract, self._make_worker = contract, make_worker
        self._answer_ticks = max(1, round(settings.answer_timeout_s * contract.policy_hz))
        self._lock = threading.Lock()
        self._swap = Swap(version, swap_settings)
        worker = make_worker(strategy)
        self._runtime = ChunkRuntime(contract, settings, strategy, version, worker, seed)
        self._acting = Planner(version, strategy, worker, self._runtime.queue.estimate)
        self._standby: Planner | None = None
        self._candidate: tuple[Planner, Shadow] | None = None
        self._retired: list[Planner] = []
        self._versions: deque[tuple[int, str]] = deque(maxlen=_REMEMBERED_TICKS)

    @property
    def version(self) -> str:
        """Version of the policy that serves."""
        return self._swap.serving

    def start_episode(self) -> None:
        """Empties the queue; a candidate that is ready takes over."""
        with self._lock:
            self._runtime.start_episode()
            self._swap.begin_episode()
            self._follow()

    def end_episode(self, finished: bool) -> None:
        """The arm comes to rest; ``finished`` unless the episode was aborted."""
        with self._lock:
            self._swap.end_episode(finished)
            self._follow()
            # Freeing a network holds the interpreter, so it is done between episodes.
            self._retired.clear()

    def tick(
        self, stamp_ns: int, observation: Observation, following: Following = FOLLOWED
    ) -> Acted:
        """One control tick; see ChunkRuntime.tick.

        Nothing is held for or against a policy of what it proposes while somebody else commands.
        """
        with self._lock:
            self._follow()
            before = replace(self._runtime.counts)
            acted = self._runtime.tick(stamp_ns, observation, following)
            if following.followed:
                self._weigh(before, acted)
            self._follow()
            if following.followed and acted.action is not None:
                self._versions.append((stamp_ns, acted.values["chunk_version"]))
        return acted

    def filtered(self, stamp_ns: int, limited: bool) -> None:
        """The safety filter has accepted the action of a tick, changed by a limit or not."""
        with self._lock:
            version = next((v for at, v in self._versions if at == stamp_ns), None)
            if version is not None:
                self._swap.filtered(version, limited)

    def filter_stopped(self, reasons: str) -> None:
        """The safety filter has stopped the arm for reasons that lie with the commands."""
        with self._lock:
            self._swap.failed(f"the safety filter stopped the arm: {reasons}")

    def offer(self, version: str, place: object) -> bool:
        """A verified bundle; see Swap.propose."""
        with self._lock:
            wanted = self._swap.propose(version, place)
            return wanted

    def opened(self, version: str, strategy: Strategy) -> None:
        """The candidate's networks are open: from now on it runs in the shadow."""
        with self._lock:
            if not self._swap.opened(version):
                return
            estimate = DelayEstimate(self._runtime.queue.max_delay)
            worker = self._make_worker(strategy)
            planner = Planner(version, strategy, worker, estimate)
            self._drop_candidate()
            self._candidate = planner, Shadow(
                self._contract, worker, estimate, self._runtime.queue.max_delay,
                self._answer_ticks, self._swap.shadowed,
            )  # fmt: skip

    def refuse(self, version: str, reason: str) -> None:
        """A bundle must not be used; see Swap.refuse."""
        with self._lock:
            self._swap.refuse(version, reason)

    def news(self) -> list[News]:
        """What has happened since the last call, oldest first."""
        with self._lock:
            news, self._swap.news = self._swap.news, []
            return news

    def close(self) -> None:
        """Stops the workers; called when nothing ticks any more."""
        with self._lock:
            planners = [self._acting, self._standby, *self._retired]
            planners += [] if self._candidate is None else [self._candidate[0]]
        for planner in planners:
            if planner is not None:
                planner.worker.stop(2.0)

    def _weigh(self, before: Counts, acted: Acted) -> None:
        """What this tick says of the policy on trial, and of the one in the shadow."""
        if self._swap.phase is Phase.TRIAL:
            self._judge(before, acted)
        if self._candidate is not None and self._swap.phase is Phase.SHADOWING:
            self._candidate[1].tick(acted)

    def _judge(self, before: Counts, acted: Acted) -> None:
        """Tells the swap how the policy on trial did at this tick."""
        queue, counts = self._runtime.queue, self._runtime.counts
        assert self._standby is not None
        waits = self._acting.strategy.merge is Merge.WAIT  # stands still by design
        # The last tick at which the old policy can still be asked in time.
        last_chance = self._standby.estimate.predicted + 1
        if counts.failed > before.failed:
            self._swap.failed(f"it gave no usable chunk: {acted.problems[0]}")
        elif counts.lost > before.lost:
            self._swap.failed("it did not answer in time")
        elif counts.starved > before.starved and not waits:
            self._swap.failed("it ran out of actions")
        elif 0 < queue.left <= last_chance and not queue.in_time and not waits:
            self._swap.failed("it was about to run out of actions")
        else:
            late = counts.late - before.late
            self._swap.planned(
                counts.used - before.used + late,
                counts.underestimated - before.underestimated + late,
            )

    def _follow(self) -> None:
        """Does what the swap has decided."""
        serving = self._swap.serving
        if serving != self._acting.version:
            if self._standby is not None and serving == self._standby.version:
                self._retire(self._acting)
                self._acting, self._standby = self._standby, None
            else:
                assert self._candidate is not None and self._candidate[0].version == serving
                self._standby, self._acting = self._acting, self._candidate[0]
                self._candidate = None
            new = self._acting
            self._runtime.hand_over(new.strategy, new.version, new.worker, new.estimate)
        elif self._standby is not None and self._swap.phase is not Phase.TRIAL:
            self._retire(self._standby)
            self._standby = None
        if self._candidate is not None and self._candidate[0].version != self._swap.candidate:
            self._drop_candidate()

    def _drop_candidate(self) -> None:
        if self._candidate is not None:
            self._retire(self._candidate[0])
            self._candidate = None

    def _retire(self, planner: Planner) -> None:
        planner.worker.stop(0.0)
        self._retired.append(planner)
