"""Bidirectional decoding (arXiv 2408.17355): several samples, chosen by coherence and contrast."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.chunking.queue import Merge
from vla_rl_nodes.chunking.settings import Bid
from vla_rl_nodes.chunking.strategies.strategy import (
    Job,
    Models,
    Plan,
    chunk_shape,
    drawn_noise,
)

Array = NDArray[np.float64]


def backward_loss(candidates: Array, ahead: Array, decay: float) -> Array:
    """Distance of candidates [N, H, A] to the running chunk's rest [n, A], the near future
    weighted more: sum over i of decay^i times the norm, [N]."""
    overlap = min(len(ahead), candidates.shape[1])
    distance = np.linalg.norm(candidates[:, :overlap] - ahead[:overlap], axis=2)
    loss: Array = distance @ decay ** np.arange(overlap)
    return loss


def forward_loss(candidates: Array, positives: Array, negatives: Array) -> Array:
    """Distance to the likely samples less that to the weak policy's, mean over samples [N]."""

    def apart(others: Array) -> Array:
        total: Array = np.linalg.norm(candidates[:, None] - others[None], axis=3).sum(axis=2)
        return total

    count = max(len(positives), 1)
    loss: Array = apart(positives).sum(axis=1) / count
    if len(negatives):
        loss = loss - apart(negatives).sum(axis=1) / count
    return loss


class BidirectionalDecoding:
    """Keeps the most coherent samples of the policy and of a weaker one, and takes the sample
    with the least sum of both losses. Without a weaker policy only the likely samples attract."""

    name = "bid"
    merge = Merge.SPLICE
    bounded_delay = False

    def __init__(self, settings: Bid, models: Models) -> None:
        self._settings, self._models = settings, models
        self._shape = chunk_shape(models)
        action = models.engine.bundle.contract.action
        self._width = action.maximum - action.minimum

    def plan(self, job: Job) -> Plan:
        s = self._settings
        nothing = np.zeros(self._shape, dtype=np.float32)
        noise = drawn_noise(job, s.samples, self._shape)
        drawn = self._models.engine.infer_many(job.observation, nothing, 0, noise).chunks
        strong = drawn.astype(np.float64)
        weak = np.empty((0, *self._shape))
        if self._models.weak is not None:
            given = self._models.weak.infer_many(job.observation, nothing, 0, noise).chunks
            weak = given.astype(np.float64)
        ahead = job.request.ahead / self._width
        backward = backward_loss(strong / self._width, ahead, s.decay)
        positives = strong[np.argsort(backward, kind="stable")[: s.kept]]
        if len(weak):
            order = np.argsort(backward_loss(weak / self._width, ahead, s.decay), kind="stable")
            weak = weak[order[: s.kept]]
        forward = forward_loss(strong / self._width, positives / self._width, weak / self._width)
        return Plan(strong[int(np.argmin(backward + forward))])
