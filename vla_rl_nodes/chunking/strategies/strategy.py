"""The interface of a strategy: what it is asked with, what it may use, and what it gives."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.chunking.queue import Merge, Request
from vla_rl_nodes.contract.observation import Observation
from vla_rl_nodes.policy.critic import Critic
from vla_rl_nodes.policy.engine import Engine
from vla_rl_nodes.policy.flow import FlowField
from vla_rl_nodes.policy.novelty import Novelty

Single = NDArray[np.float32]


@dataclass(frozen=True)
class Job:
    """One inference.

    Attributes:
        request: what was asked for, with the committed actions.
        stamp_ns: control tick of the observation.
        observation: what was seen at that tick.
        noise_seed: of every random number; recorded, so that a chunk can be made again.
    """

    request: Request
    stamp_ns: int
    observation: Observation
    noise_seed: int


@dataclass(frozen=True)
class Plan:
    """A chunk [H, A] in action units, and what the log shall say about how it was made."""

    chunk: NDArray[np.float64]
    log: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Models:
    """The networks of one bundle; those that it does not hold are None.

    Attributes:
        engine: one-step student.
        flow: multi-step teacher.
        critic: value of a chunk.
        novelty: how unlike the training data a chunk is.
        weak: an earlier checkpoint of the student.
    """

    engine: Engine
    flow: FlowField | None = None
    critic: Critic | None = None
    novelty: Novelty | None = None
    weak: Engine | None = None


class Strategy(Protocol):
    """Makes a chunk in the inference thread; never called from the tick."""

    name: str
    merge: Merge
    # Whether it can only continue as many actions as the policy was trained for.
    bounded_delay: bool

    def plan(self, job: Job) -> Plan:
        """The chunk for a job.

        Raises:
            InputError: an engine refuses its input or gives an unusable output.
        """


def drawn_noise(job: Job, count: int, shape: tuple[int, int]) -> Single:
    """Standard normal noise [count, H, A] of a job."""
    rng = np.random.default_rng(job.noise_seed)
    return rng.standard_normal((count, *shape), dtype=np.float32)


def padded_prefix(job: Job, shape: tuple[int, int]) -> Single:
    """The committed actions in a chunk's shape [H, A]; the rows after them are not looked at."""
    prefix = np.zeros(shape, dtype=np.float32)
    prefix[: job.request.delay] = job.request.prefix
    return prefix


def chunk_shape(models: Models) -> tuple[int, int]:
    """(H, A) of a bundle's chunks."""
    action = models.engine.bundle.contract.action
    return action.chunk_length, len(action.names)
