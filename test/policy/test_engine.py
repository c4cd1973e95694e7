"""The engine keeps the prefix exactly and refuses what the graph was not made for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.policy.bundle import load_bundle
from vla_rl_nodes.policy.engine import OnnxEngine

Make = Callable[..., Path]


def example(contract: Contract, seed: int) -> tuple[dict[str, Any], Any, Any]:
    """Observation, prefix inside the bounds, and noise."""
    rng = np.random.default_rng(seed)
    action = contract.action
    observation: dict[str, NDArray[Any]] = {}
    for stream in contract.streams:
        if stream.kind == "image":
            observation[stream.key] = rng.integers(0, 256, stream.shape, dtype=np.uint8)
        else:
            observation[stream.key] = rng.standard_normal(stream.shape).astype(np.float32)
    shape = (action.chunk_length, len(action.names))
    prefix = rng.uniform(action.minimum, action.maximum, shape).astype(np.float32)
    return observation, prefix, rng.standard_normal(shape).astype(np.float32)


@pytest.fixture
def engine(make_bundle: Make, contract: Contract, trusted: list[Path]) -> OnnxEngine:
    return OnnxEngine(load_bundle(make_bundle(), contract, trusted))


@given(delay=st.integers(0, 6), seed=st.integers(0, 2**31))
@settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_committed_rows_come_back_bit_for_bit(
    engine: OnnxEngine, contract: Contract, delay: int, seed: int
) -> None:
    observation, prefix, noise = example(contract, seed)
    chunk = engine.infer(observation, prefix, delay, noise)
    assert chunk.dtype == np.float32 and chunk.shape == (16, 5)
    assert np.array_equal(chunk[:delay], prefix[:delay])
    assert not np.array_equal(chunk[delay:], prefix[delay:])
    other = prefix.copy()
    other[delay:] = 0
    assert np.array_equal(engine.infer(observation, other, delay, noise), chunk)


def test_the_chunk_is_what_the_graph_computes(engine: OnnxEngine, contract: Contract) -> None:
    observation, prefix, noise = example(contract, 1)
    shift = sum(float(value.astype(np.float64).mean()) for value in observation.values()) * 1e-5
    wanted = np.clip(
        noise * 0.002 + shift,
        contract.action.minimum.astype(np.float32),
        contract.action.maximum.astype(np.float32),
    )
    assert np.allclose(engine.infer(observation, prefix, 0, noise), wanted, rtol=0, atol=1e-6)
    dark = {key: np.zeros_like(value) for key, value in observation.items()}
    assert not np.allclose(engine.infer(dark, prefix, 0, noise), wanted, rtol=0, atol=1e-4)


def test_the_same_arguments_give_the_same_bits(engine: OnnxEngine, contract: Contract) -> None:
    arguments = example(contract, 2)
    first = engine.infer(arguments[0], arguments[1], 3, arguments[2])
    engine.infer(*example(contract, 3)[:2], 5, example(contract, 4)[2])
    assert np.array_equal(engine.infer(arguments[0], arguments[1], 3, arguments[2]), first)


@pytest.mark.parametrize("delay", [-1, 7, 16, 1000])
def test_a_delay_beyond_the_trained_one_is_refused(
    engine: OnnxEngine, contract: Contract, delay: int
) -> None:
    observation, prefix, noise = example(contract, 5)
    with pytest.raises(InputError, match=f"delay: {delay} is outside 0 to 6"):
        engine.infer(observation, prefix, delay, noise)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("which", ["prefix", "noise", "state", "reference"])
def test_what_is_not_finite_is_refused(
    engine: OnnxEngine, contract: Contract, which: str, bad: float
) -> None:
    observation, prefix, noise = example(contract, 6)
    target = {"prefix": prefix, "noise": noise}.get(which, observation.get(which))
    target.reshape(-1)[-1] = bad
    with pytest.raises(InputError, match=f"{which}: is not finite"):
        engine.infer(observation, prefix, 2, noise)


def test_a_prefix_outside_the_bounds_is_refused_only_where_committed(
    engine: OnnxEngine, contract: Contract
) -> None:
    observation, prefix, noise = example(contract, 7)
    prefix[2, 0] = 0.5
    engine.infer(observation, prefix, 2, noise)
    with pytest.raises(InputError, match="outside the contract's bounds"):
        engine.infer(observation, prefix, 3, noise)


def test_bounds_that_float32_rounds_upwards_are_inside(
    engine: OnnxEngine, contract: Contract
) -> None:
    observation, prefix, noise = example(contract, 8)
    prefix[:] = contract.action.maximum.astype(np.float32)
    assert prefix[0, 3] > contract.action.maximum[3]
    assert np.array_equal(engine.infer(observation, prefix, 6, noise)[:6], prefix[:6])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda o, p, n: (o, p[:8], n), "prefix: is float32"),
        (lambda o, p, n: (o, p, n[None]), "noise: is float32"),
        (lambda o, p, n: (o, p.astype(np.float64), n), "prefix: is float64"),
        (lambda o, p, n: ({**o, "state": o["state"][:5]}, p, n), "state: is float32"),
        (
            lambda o, p, n: ({**o, "image_scene": o["image_scene"] / np.float32(255)}, p, n),
            "image_scene: is float32",
        ),
        (lambda o, p, n: ({k: v for k, v in o.items() if k != "state"}, p, n), "state: has no"),
    ],
)
def test_wrong_shapes_and_types_are_refused(
    engine: OnnxEngine, contract: Contract, change: Callable[..., Any], said: str
) -> None:
    observation, prefix, noise = change(*example(contract, 9))
    with pytest.raises(InputError, match=said):
        engine.infer(observation, prefix, 0, noise)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"leave_out": "image_wrist"}, "input 'image_wrist' is missing"),
        ({"extra": "cube"}, "input 'cube' is unknown"),
        ({"gain": np.inf, "bounded": False}, "not finite"),
        ({"keep_prefix": False}, "changes the prefix at delay 1"),
        ({"bounded": False, "gain": 1.0}, "leaves the action bounds"),
    ],
)
def test_a_signed_graph_that_does_not_fit_is_refused_at_load(
    make_bundle: Make,
    contract: Contract,
    trusted: list[Path],
    changes: dict[str, Any],
    said: str,
) -> None:
    bundle = load_bundle(make_bundle(**changes), contract, trusted)
    with pytest.raises(InputError, match=said) as caught:
        OnnxEngine(bundle)
    assert "\n" not in str(caught.value) and "policy.onnx" in str(caught.value)


def test_a_signed_file_that_is_no_graph_is_refused(
    make_bundle: Make, contract: Contract, trusted: list[Path]
) -> None:
    bundle = load_bundle(make_bundle(files={"policy.onnx": b"no graph"}), contract, trusted)
    with pytest.raises(InputError, match="no model that onnxruntime loads"):
        OnnxEngine(bundle)


def test_threads_are_at_least_one(
    make_bundle: Make, contract: Contract, trusted: list[Path]
) -> None:
    with pytest.raises(InputError, match="threads: is 0"):
        OnnxEngine(load_bundle(make_bundle(), contract, trusted), threads=0)
