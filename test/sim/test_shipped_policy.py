"""The shipped policy picks the cube on unseen seeds, late or not, and needs its cameras."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.policy.bundle import load_bundle
from vla_rl_nodes.policy.engine import OnnxEngine
from vla_rl_nodes.policy.trust import trusted_keys
from vla_rl_nodes.resources import resource
from vla_rl_nodes.sim.chunked import ChunkActor
from vla_rl_nodes.sim.rollout import Rollout

CONTRACT = load_contract("franka_pick")
SEEDS = range(700, 710)


@pytest.fixture(scope="module")
def engine() -> OnnxEngine:
    bundle = load_bundle(resource("config/policies/franka_pick"), CONTRACT, trusted_keys())
    return OnnxEngine(bundle)


@pytest.fixture(scope="module")
def seeing() -> Iterator[Rollout]:
    with Rollout(CONTRACT) as rollout:
        yield rollout


class _Blind:
    """An engine that is shown black images."""

    def __init__(self, engine: OnnxEngine) -> None:
        self._engine = engine

    def infer(self, observation: dict[str, Any], *rest: Any) -> Any:
        dark = {k: v * 0 if v.dtype == np.uint8 else v for k, v in observation.items()}
        return self._engine.infer(dark, *rest)


@pytest.mark.parametrize("delay", [1, 4])
def test_it_picks_the_cube(seeing: Rollout, engine: OnnxEngine, delay: int) -> None:
    actor = ChunkActor(CONTRACT, engine, delay)
    successes = sum(seeing.run(seed, actor).success for seed in SEEDS)
    assert successes >= 9  # of 10


def test_it_looks(seeing: Rollout, engine: OnnxEngine) -> None:
    actor = ChunkActor(CONTRACT, _Blind(engine))
    assert not any(seeing.run(seed, actor).success for seed in list(SEEDS)[:4])


def test_a_delay_that_it_was_not_trained_for_is_refused(engine: OnnxEngine) -> None:
    with pytest.raises(ValueError, match="delay must be"):
        ChunkActor(CONTRACT, engine, CONTRACT.action.max_delay + 1)
