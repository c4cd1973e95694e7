"""A bundle with one graph that scores chunks, written by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx_writer import Value, model, node, observation_of

from vla_rl_nodes.contract.spec import Contract


def score_model(contract: Contract, output: str, **changes: Any) -> bytes:
    """Twice the sum of a chunk, plus the observation's first state."""
    action = contract.action
    inputs: dict[str, Value] = {
        s.key: (s.dtype.name, ["observations", *s.shape]) for s in contract.streams
    }
    inputs["chunk"] = ("float32", ["batch", action.chunk_length, len(action.names)])
    parts: dict[str, Any] = {
        "inputs": inputs,
        "outputs": {output: ("float32", ["batch"])},
        "nodes": [
            node("ReduceSum", ["chunk", "inner"], "sum", keepdims=0),
            node("Mul", ["sum", "gain"], "scaled"),
            node("Gather", ["state", "first"], "start", axis=1),
            node("Add", ["scaled", "start"], output),
        ],
        "constants": {
            "inner": np.array([1, 2], np.int64),
            "gain": np.array(2.0, np.float32),
            "first": np.array(0, np.int64),
        },
    }
    return model(**{**parts, **changes})


def wanted_score(
    observation: dict[str, NDArray[Any]], chunks: NDArray[np.float32]
) -> NDArray[np.float64]:
    """What :func:`score_model` computes, [N]."""
    return 2.0 * chunks.astype(np.float64).sum(axis=(1, 2)) + observation["state"][0]


def example(contract: Contract, count: int, seed: int) -> tuple[dict[str, Any], Any]:
    """An observation and chunks [count, H, A] inside the bounds."""
    action = contract.action
    shape = (count, action.chunk_length, len(action.names))
    chunks = np.random.default_rng(seed).uniform(action.minimum, action.maximum, shape)
    return observation_of(contract, seed), chunks.astype(np.float32)
