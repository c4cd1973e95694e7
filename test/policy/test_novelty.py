"""The robot's half of the novelty: one observation, many chunks, a number for each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scored import example, score_model, wanted_score

from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.policy.bundle import load_bundle
from vla_rl_nodes.policy.novelty import NOVELTY, Novelty

Make = Callable[..., Path]


@pytest.fixture
def load(make_bundle: Make, contract: Contract, trusted: list[Path]) -> Callable[..., Novelty]:
    def make(**changes: Any) -> Novelty:
        files = {NOVELTY: score_model(contract, "novelty", **changes)}
        return Novelty(load_bundle(make_bundle(files=files), contract, trusted))

    return make


@pytest.mark.parametrize("count", [1, 16])
def test_every_chunk_gets_its_own_novelty(
    load: Callable[..., Novelty], contract: Contract, count: int
) -> None:
    observation, chunks = example(contract, count, seed=count)
    novelty = load().novelty(observation, chunks)
    assert novelty.dtype == np.float32 and novelty.shape == (count,)
    assert np.allclose(novelty, wanted_score(observation, chunks), rtol=0, atol=1e-5)


def test_chunks_that_do_not_fit_are_refused(
    load: Callable[..., Novelty], contract: Contract
) -> None:
    novelty = load()
    observation, chunks = example(contract, 3, seed=2)
    with pytest.raises(InputError, match=r"chunks: is float32\[3, 16, 4\]"):
        novelty.novelty(observation, chunks[:, :, :4])


def test_a_bundle_without_a_novelty_is_refused(
    make_bundle: Make, contract: Contract, trusted: list[Path]
) -> None:
    bundle = load_bundle(make_bundle(), contract, trusted)
    with pytest.raises(InputError, match=r"novelty\.onnx: is not in the bundle"):
        Novelty(bundle)


def test_a_critic_is_no_novelty(
    make_bundle: Make, contract: Contract, trusted: list[Path]
) -> None:
    files = {NOVELTY: score_model(contract, "value")}
    bundle = load_bundle(make_bundle(files=files), contract, trusted)
    with pytest.raises(InputError, match=r"novelty\.onnx: output 'novelty' is missing"):
        Novelty(bundle)
