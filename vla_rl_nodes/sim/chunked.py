"""The live policy's queue and strategy in a rollout, late by a number of control ticks."""

from __future__ import annotations

from vla_rl_nodes.chunking.delayed import DelayedWorker
from vla_rl_nodes.chunking.runtime import ChunkRuntime
from vla_rl_nodes.chunking.settings import ChunkingSettings
from vla_rl_nodes.chunking.strategies.strategy import Job, Plan, Strategy
from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.sim.actors import Decision, Seen


class ChunkActor:
    """The runtime of the live policy node, with inference that takes whole control ticks.

    Every episode starts afresh, its delay estimate too, so that it depends on its seed alone.

    Args:
        contract: chunk length, axes and largest delay.
        settings: strategy and its numbers.
        strategy: made with them.
        delay: ticks from a request to its chunk; in the live node it is at least 1.

    Raises:
        ValueError: a delay that the strategy cannot bridge.
    """

    def __init__(
        self, contract: Contract, settings: ChunkingSettings, strategy: Strategy, delay: int = 1
    ) -> None:
        action = contract.action
        longest = action.chunk_length - settings.replan_every
        if strategy.bounded_delay:
            longest = min(longest, action.max_delay)
        if not 0 <= delay <= longest:
            raise ValueError(f"delay must be in 0..{longest}")
        self._contract, self._settings, self._strategy = contract, settings, strategy
        self._delay = delay

    def start(self, seed: int) -> None:
        """Empties the queue and seeds the sampling noise."""
        self._worker: DelayedWorker[Job, Plan] = DelayedWorker(
            self._strategy.plan, lambda _: self._delay, self._contract.period_ns / 1e6
        )
        self._runtime = ChunkRuntime(
            self._contract, self._settings, self._strategy, "simulated", self._worker, seed
        )

    def decide(self, tick: int, seen: Seen) -> Decision | None:
        """The action of this tick, or None while the first chunk is awaited.

        Raises:
            RuntimeError: the strategy fails; in a rollout nobody would see the arm stand still.
        """
        self._worker.begin_tick()
        acted = self._runtime.tick(seen.stamp_ns, seen.observation)
        if acted.problems:
            raise RuntimeError(f"tick {tick}: {acted.problems[0]}")
        return None if acted.action is None else Decision(acted.action)
