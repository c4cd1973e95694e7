"""The robot's half of the critic: one observation, many chunks, a value for each."""

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
from vla_rl_nodes.policy.critic import CRITIC, Critic

Make = Callable[..., Path]


@pytest.fixture
def load(make_bundle: Make, contract: Contract, trusted: list[Path]) -> Callable[..., Critic]:
    def make(**changes: Any) -> Critic:
        files = {CRITIC: score_model(contract, "value", **changes)}
        return Critic(load_bundle(make_bundle(files=files), contract, trusted))

    return make


@pytest.mark.parametrize("count", [1, 2, 33])
def test_every_chunk_gets_its_own_value(
    load: Callable[..., Critic], contract: Contract, count: int
) -> None:
    observation, chunks = example(contract, count, seed=count)
    values = load().values(observation, chunks)
    assert values.dtype == np.float32 and values.shape == (count,)
    assert np.allclose(values, wanted_score(observation, chunks), rtol=0, atol=1e-5)


def test_the_observation_counts(load: Callable[..., Critic], contract: Contract) -> None:
    critic = load()
    observation, chunks = example(contract, 4, seed=1)
    before = critic.values(observation, chunks)
    observation["state"] = observation["state"] + np.float32(1.5)
    assert np.allclose(critic.values(observation, chunks), before + 1.5, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda o, c: (o, c[:, :8]), r"chunks: is float32\[3, 8, 5\]"),
        (lambda o, c: (o, c[0]), r"chunks: is float32\[16, 5\]"),
        (lambda o, c: (o, c[:0]), r"chunks: is float32\[0, 16, 5\]"),
        (lambda o, c: (o, c.astype(np.float64)), "chunks: is float64"),
        (lambda o, c: (o, np.where(c > 0, np.float32(np.nan), c)), "chunks: is not finite"),
        (lambda o, c: ({**o, "state": o["state"] * np.float32(np.inf)}, c), "state: is not fin"),
        (lambda o, c: ({k: v for k, v in o.items() if k != "reference"}, c), "reference: has no"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(
    load: Callable[..., Critic], contract: Contract, change: Callable[..., Any], said: str
) -> None:
    critic = load()
    observation, chunks = example(contract, 3, seed=2)
    critic.values(observation, chunks)
    with pytest.raises(InputError, match=said):
        critic.values(*change(observation, chunks))


def test_a_bundle_without_a_critic_is_refused(
    make_bundle: Make, contract: Contract, trusted: list[Path]
) -> None:
    bundle = load_bundle(make_bundle(), contract, trusted)
    with pytest.raises(InputError, match=r"critic\.onnx: is not in the bundle"):
        Critic(bundle)


def test_a_critic_for_single_chunks_is_refused(
    load: Callable[..., Critic], contract: Contract
) -> None:
    streams = {s.key: (s.dtype.name, ["o", *s.shape]) for s in contract.streams}
    with pytest.raises(InputError, match=r"critic\.onnx: input 'chunk' is .*\[1, 16, 5\]"):
        load(inputs={**streams, "chunk": ("float32", [1, 16, 5])})


def test_a_value_that_is_not_finite_is_refused_at_load(load: Callable[..., Critic]) -> None:
    constants = {
        "inner": np.array([1, 2], np.int64),
        "gain": np.array(np.nan, np.float32),
        "first": np.array(0, np.int64),
    }
    with pytest.raises(InputError, match=r"critic\.onnx: gave a 'value' that is not finite"):
        load(constants=constants)
