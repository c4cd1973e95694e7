"""Inference-time real-time chunking: a flow policy guided towards the running chunk."""

from __future__ import annotations

import numpy as np

from vla_rl_nodes.chunking.queue import Merge
from vla_rl_nodes.chunking.settings import Guidance
from vla_rl_nodes.chunking.strategies.flow_sampling import bound_field, guided_flow, soft_mask
from vla_rl_nodes.chunking.strategies.strategy import (
    Job,
    Models,
    Plan,
    chunk_shape,
    drawn_noise,
)
from vla_rl_nodes.policy.flow import FlowField


class GuidedFlow:
    """Needs a multi-step teacher: at one step, from pure noise, guidance has nothing to pull."""

    name = "guidance"
    merge = Merge.SPLICE
    bounded_delay = False

    def __init__(self, settings: Guidance, models: Models, flow: FlowField) -> None:
        self._settings, self._flow, self._shape = settings, flow, chunk_shape(models)

    def plan(self, job: Job) -> Plan:
        ahead, length = job.request.ahead, self._shape[0]
        noise = drawn_noise(job, 1, self._shape)[0]
        target = np.zeros(self._shape, dtype=np.float32)
        weight = np.zeros(length, dtype=np.float32)
        if len(ahead):
            target[: len(ahead)] = self._flow.normalised(ahead.astype(np.float32))
            weight = soft_mask(length, job.request.delay, length - len(ahead))
        x = guided_flow(
            bound_field(self._flow, job.observation),
            noise,
            target,
            weight,
            steps=self._settings.steps,
            largest_weight=self._settings.largest_weight,
            jacobian=self._settings.jacobian,
        )
        return Plan(self._flow.actions(x).astype(np.float64))
