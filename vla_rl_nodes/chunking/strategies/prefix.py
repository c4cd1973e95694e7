"""Continue the committed actions, which the policy was trained for: one evaluation."""

from __future__ import annotations

import numpy as np

from vla_rl_nodes.chunking.queue import Merge
from vla_rl_nodes.chunking.strategies.flow_sampling import continued_flow
from vla_rl_nodes.chunking.strategies.strategy import (
    Job,
    Models,
    Plan,
    chunk_shape,
    drawn_noise,
    padded_prefix,
)
from vla_rl_nodes.policy.flow import FlowField


class PrefixStudent:
    """The one-step student, conditioned on the prefix."""

    name = "prefix"
    merge = Merge.SPLICE
    bounded_delay = True

    def __init__(self, models: Models) -> None:
        self._engine, self._shape = models.engine, chunk_shape(models)

    def plan(self, job: Job) -> Plan:
        noise = drawn_noise(job, 1, self._shape)[0]
        prefix = padded_prefix(job, self._shape)
        chunk = self._engine.infer(job.observation, prefix, job.request.delay, noise)
        return Plan(chunk.astype(np.float64))


class PrefixTeacher:
    """The multi-step teacher, with the prefix imposed at every step."""

    name = "prefix"
    merge = Merge.SPLICE
    bounded_delay = True

    def __init__(self, models: Models, flow: FlowField) -> None:
        self._flow, self._shape = flow, chunk_shape(models)

    def plan(self, job: Job) -> Plan:
        noise = drawn_noise(job, 1, self._shape)[0]
        prefix = padded_prefix(job, self._shape)
        chunk = continued_flow(self._flow, job.observation, prefix, job.request.delay, noise)
        return Plan(chunk.astype(np.float64))
