"""How chunks of a served policy are asked for and joined."""

from __future__ import annotations

import numpy as np

from vla_rl_nodes.chunking.queue import Merge
from vla_rl_nodes.chunking.settings import ChunkingSettings
from vla_rl_nodes.chunking.strategies.strategy import Job, Plan, drawn_noise, padded_prefix
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.remote.engine import RemoteEngine

_MERGE = {
    "sync": Merge.WAIT,
    "naive_async": Merge.SPLICE,
    "temporal_ensemble": Merge.AVERAGE,
    "prefix": Merge.SPLICE,
}


class Served:
    """A strategy of chunking.runtime around a served policy.

    Args:
        settings: of which the strategies ``sync``, ``naive_async`` and ``temporal_ensemble`` need
            nothing of the server, and ``prefix`` one that takes a prefix.
        engine: asks the server.

    Raises:
        InputError: another strategy; ``prefix`` with a server that takes none; or chunks that
            end before the next one is asked for.
    """

    def __init__(self, settings: ChunkingSettings, engine: RemoteEngine) -> None:
        chosen = settings.strategy
        place = f"chunking {chosen.name}"
        merge = _MERGE.get(chosen.name)
        if merge is None or getattr(chosen, "sampler", "student") != "student":
            raise InputError(
                place, "needs networks that a server does not give", f"take {', '.join(_MERGE)}"
            )
        if chosen.name == "prefix" and not engine.supports_prefix:
            raise InputError(
                place, f"{engine.version} takes no prefix", "take sync or naive_async"
            )
        if settings.replan_every > engine.rows:
            raise InputError(
                f"{place}: replan_every",
                f"is {settings.replan_every}, but a served chunk fills {engine.rows} ticks",
                f"give at most {engine.rows}",
            )
        self.name: str = chosen.name
        self.merge, self.bounded_delay = merge, chosen.name == "prefix"
        self._engine = engine
        action = engine.contract.action
        self._shape = (action.chunk_length, len(action.names))

    def plan(self, job: Job) -> Plan:
        """See chunking.strategies.strategy.Strategy."""
        noise = drawn_noise(job, 1, self._shape)[0]
        prefix, delay = np.zeros(self._shape, dtype=np.float32), 0
        if self.bounded_delay:
            prefix, delay = padded_prefix(job, self._shape), job.request.delay
        chunk = self._engine.infer(job.observation, prefix, delay, noise)
        took = self._engine.server_ms
        log = {} if took is None else {"server_ms": f"{took:.3f}"}
        return Plan(chunk.astype(np.float64), log)
