"""Several samples of the student, of which one is kept by a score."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.chunking.queue import Merge
from vla_rl_nodes.chunking.settings import BestOfN
from vla_rl_nodes.chunking.strategies.strategy import (
    Job,
    Models,
    Plan,
    Single,
    chunk_shape,
    drawn_noise,
    padded_prefix,
)

Array = NDArray[np.float64]
# Rate of the draws: how many more samples one look at the outcomes may ask for.
_ROUND = 4


def drawn_by_value(values: Array, temperature: float, seed: int) -> int:
    """An index with probability softmax(values / temperature); the largest at temperature 0.

    Equal values are equally likely at any temperature above 0; at 0 the first of them is taken.
    """
    if temperature == 0.0:
        return int(np.argmax(values))
    weights = np.exp((values - values.max()) / temperature)
    # Not the stream that made the candidates: the choice must not depend on their noise.
    rng = np.random.default_rng([seed, 1])
    return int(rng.choice(len(values), p=weights / weights.sum()))


def expected_gain(values: Array) -> float:
    """By how much one more draw is expected to raise the maximum.

    As if it came from a normal distribution with the mean and spread of the values seen:
    E[max(x - best, 0)]. With fewer than two values nothing is known, and it is infinite.
    """
    if len(values) < 2:
        return math.inf
    spread = float(values.std(ddof=1))
    if spread == 0.0:
        return 0.0
    z = float(values.mean() - values.max()) / spread
    density = math.exp(-z * z / 2.0) / math.sqrt(2.0 * math.pi)
    return spread * (density + z * 0.5 * math.erfc(-z / math.sqrt(2.0)))


class _Sampling:
    merge = Merge.SPLICE
    name = "best_of_n"

    def __init__(self, settings: BestOfN, models: Models) -> None:
        self._settings, self._models = settings, models
        self._shape = chunk_shape(models)


class NearestToPrefix(_Sampling):
    """Unconditioned samples; the one nearest to the committed actions. At rest, the first."""

    bounded_delay = False

    def __init__(self, settings: BestOfN, models: Models) -> None:
        super().__init__(settings, models)
        action = models.engine.bundle.contract.action
        self._width = action.maximum - action.minimum

    def plan(self, job: Job) -> Plan:
        nothing = np.zeros(self._shape, dtype=np.float32)
        noise = drawn_noise(job, self._settings.samples, self._shape)
        drawn = self._models.engine.infer_many(job.observation, nothing, 0, noise)
        chunks = drawn.chunks.astype(np.float64)
        apart = (chunks[:, : job.request.delay] - job.request.prefix) / self._width
        best = int(np.argmin(np.square(apart).sum(axis=(1, 2))))
        return Plan(chunks[best], {"candidates": str(len(chunks))})


class Ranked(_Sampling):
    """Prefix-conditioned samples, ranked by a network of the bundle.

    Args:
        settings: number of samples and temperature.
        models: of the bundle.
        score: (job, chunks [N, H, A]) to values [N]; the largest is wanted.
    """

    bounded_delay = True

    def __init__(
        self, settings: BestOfN, models: Models, score: Callable[[Job, Single], Array]
    ) -> None:
        super().__init__(settings, models)
        self._score = score

    def plan(self, job: Job) -> Plan:
        noise = drawn_noise(job, self._settings.samples, self._shape)
        prefix = padded_prefix(job, self._shape)
        drawn = self._models.engine.infer_many(
            job.observation, prefix, job.request.delay, noise
        ).chunks
        values = self._score(job, drawn)
        best = drawn_by_value(values, self._settings.temperature, job.noise_seed)
        log = {"candidates": str(len(drawn)), "score": f"{values[best]:.6g}"}
        return Plan(drawn[best].astype(np.float64), log)


class ByOutcome(_Sampling):
    """Prefix-conditioned samples by the student's own forecast of success.

    Draws in rounds and stops when the expected gain of another draw is below its cost.
    """

    bounded_delay = True

    def plan(self, job: Job) -> Plan:
        s = self._settings
        noise = drawn_noise(job, s.samples, self._shape)
        prefix = padded_prefix(job, self._shape)
        chunks: list[Single] = []
        values: Array = np.empty(0)
        while len(values) < s.samples and expected_gain(values) > s.cost:
            part = noise[len(values) : len(values) + _ROUND]
            drawn = self._models.engine.infer_many(
                job.observation, prefix, job.request.delay, part
            )
            assert drawn.outcome is not None  # checked when the strategy was made
            success = drawn.outcome[:, 1].sum(axis=1).astype(np.float64)
            values = np.concatenate([values, success])
            chunks.extend(drawn.chunks)
        best = int(np.argmax(values))
        log = {"candidates": str(len(values)), "score": f"{values[best]:.6g}"}
        return Plan(chunks[best].astype(np.float64), log)
