"""A chunk policy with real-time chunking in a rollout, late by a number of control ticks."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.chunking.queue import ActionQueue, Request
from vla_rl_nodes.contract.observation import Observation
from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.sim.actors import Decision, Seen

REPLAN_EVERY = 4


class Engine(Protocol):
    """What a chunk is asked from, such as policy.engine.OnnxEngine."""

    def infer(
        self,
        observation: Observation,
        prefix: NDArray[np.float32],
        delay: int,
        noise: NDArray[np.float32],
    ) -> NDArray[np.float32]:
        """A chunk [chunk_length, axes] in action units."""


class ChunkActor:
    """The queue of the live policy node, with inference that takes whole control ticks.

    Args:
        contract: chunk length, axes and largest delay.
        engine: computes chunks.
        delay: ticks from a request to its chunk, at least 1 as in the live node.
    """

    def __init__(self, contract: Contract, engine: Engine, delay: int = 1) -> None:
        if not 1 <= delay <= contract.action.max_delay:
            raise ValueError(f"delay must be in 1..{contract.action.max_delay}")
        self._engine, self._delay = engine, delay
        action = contract.action
        self._shape = (action.chunk_length, len(action.names))
        self._queue = ActionQueue(*self._shape, action.max_delay, REPLAN_EVERY)

    def start(self, seed: int) -> None:
        """Empties the queue and seeds the sampling noise."""
        self._queue.start_episode()
        self._rng = np.random.default_rng([seed, 0x51])
        self._pending: tuple[int, Request, NDArray[np.float64]] | None = None

    def decide(self, tick: int, seen: Seen) -> Decision | None:
        """The action of this tick, or None while the first chunk is awaited."""
        if self._pending is not None and tick >= self._pending[0]:
            self._queue.splice(self._pending[1], self._pending[2])
            self._pending = None
        request = self._queue.request()
        if request is not None:
            prefix = np.zeros(self._shape, dtype=np.float32)
            prefix[: request.delay] = request.prefix
            noise = self._rng.standard_normal(self._shape, dtype=np.float32)
            chunk = self._engine.infer(seen.observation, prefix, request.delay, noise)
            self._pending = (tick + self._delay, request, chunk.astype(np.float64))
        planned = self._queue.take()
        return None if planned is None else Decision(planned.action)
