"""The baselines that ignore what was committed; they differ in how their chunks are joined."""

from __future__ import annotations

import numpy as np

from vla_rl_nodes.chunking.queue import Merge
from vla_rl_nodes.chunking.strategies.strategy import Job, Models, Plan, chunk_shape, drawn_noise


class Unconditioned:
    """The one-step student without a prefix.

    Args:
        name: ``sync``, ``naive_async`` or ``temporal_ensemble``.
        merge: how the chunks are joined: that is what tells the three apart.
        models: of the bundle.
    """

    bounded_delay = False

    def __init__(self, name: str, merge: Merge, models: Models) -> None:
        self.name, self.merge = name, merge
        self._engine, self._shape = models.engine, chunk_shape(models)

    def plan(self, job: Job) -> Plan:
        noise = drawn_noise(job, 1, self._shape)[0]
        nothing = np.zeros(self._shape, dtype=np.float32)
        return Plan(self._engine.infer(job.observation, nothing, 0, noise).astype(np.float64))
