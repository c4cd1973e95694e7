"""A sampler that can be worked out by hand, in the place of a bundle's networks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.chunking.strategies.strategy import Models
from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.policy.engine import Candidates

Single = NDArray[np.float32]


class SmallEngine:
    """A chunk is the state's first value plus a hundredth of the noise; the prefix is kept."""

    name = "small"

    def __init__(self, contract: Contract, *, offset: float = 0.0, outcome: bool = False) -> None:
        self.bundle: Any = SimpleNamespace(
            contract=contract,
            path=Path("small"),
            manifest=SimpleNamespace(outcome=outcome or None, flow=None),
        )
        self.offset, self.outcome = offset, outcome
        self.calls: list[tuple[int, int]] = []  # (delay, candidates)
        self.fail = False

    def infer(
        self, observation: Mapping[str, NDArray[Any]], prefix: Single, delay: int, noise: Single
    ) -> Single:
        return self.infer_many(observation, prefix, delay, noise[None]).chunks[0]

    def infer_many(
        self, observation: Mapping[str, NDArray[Any]], prefix: Single, delay: int, noise: Single
    ) -> Candidates:
        if self.fail:
            raise InputError("small", "fails", "repair it")
        self.calls.append((delay, len(noise)))
        base = np.float32(observation["state"][0] + self.offset)
        chunks = base + noise * np.float32(0.01)
        chunks[:, :delay] = prefix[:delay]
        success = 1.0 / (1.0 + np.exp(-noise[:, -1, 0]))  # of each candidate
        outcome = np.zeros((len(noise), 2, 3), np.float32)
        outcome[:, 1, 1], outcome[:, 0, 2] = success, 1.0 - success
        return Candidates(chunks, outcome if self.outcome else None)


class SmallScore:
    """Value or novelty: the mean of the candidate's last row."""

    def values(self, observation: Mapping[str, NDArray[Any]], chunks: Single) -> Single:
        result: Single = chunks[:, -1].mean(axis=1)
        return result

    novelty = values


def small_models(contract: Contract, **changes: Any) -> Models:
    """All networks but a flow."""
    score: Any = SmallScore()
    return Models(
        SmallEngine(contract, **changes),
        critic=score,
        novelty=score,
        weak=SmallEngine(contract, offset=0.01),
    )
