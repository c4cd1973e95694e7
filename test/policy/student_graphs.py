"""Students written by hand, in the forms that an engine may meet, and verified bundles of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx_writer import Value, model, node

from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.policy.bundle import MODEL, Bundle, load_bundle, write_bundle
from vla_rl_nodes.policy.manifest import Outcome, Training
from vla_rl_nodes.policy.signing import load_key

BINS = 5


def student(
    contract: Contract,
    *,
    observations: str | int = "batch",
    batch: str | int = "batch",
    bounded: bool = True,
    gain: float = 0.002,
    forecast: float | None = None,
) -> bytes:
    """Noise times a gain, shifted by the observation's means, with the prefix put in front.

    Args:
        contract: gives inputs, shapes and bounds.
        observations: batch axis of the streams.
        batch: batch axis of everything else.
        bounded: whether the chunk is clipped to the contract's bounds.
        gain: of the noise.
        forecast: what the joint probability of the outcome sums to; None for no such output.
    """
    action = contract.action
    chunk = [batch, action.chunk_length, len(action.names)]
    inputs: dict[str, Value] = {
        s.key: (s.dtype.name, [observations, *s.shape]) for s in contract.streams
    }
    inputs |= {"prefix": ("float32", chunk), "delay": ("int64", [batch])}
    inputs["noise"] = ("float32", chunk)
    outputs: dict[str, Value] = {"chunk": ("float32", chunk)}
    constants: dict[str, NDArray[Any]] = {
        "flat": np.array([0, -1], np.int64),
        "last": np.array([1], np.int64),
        "inner": np.array([1, 2], np.int64),
        "column": np.array([-1, 1, 1], np.int64),
        "gain": np.array(gain, np.float32),
        "small": np.array(1e-5, np.float32),
        "rows": np.arange(action.chunk_length, dtype=np.int64)[None, :, None],
        "low": action.minimum.astype(np.float32),
        "high": action.maximum.astype(np.float32),
    }
    nodes = [node("Mul", ["noise", "gain"], "sum_0")]
    for index, stream in enumerate(contract.streams):
        nodes += [
            node("Cast", [stream.key], f"float_{index}", to=1),
            node("Reshape", [f"float_{index}", "flat"], f"flat_{index}"),
            node("ReduceMean", [f"flat_{index}", "last"], f"mean_{index}"),
            node("Reshape", [f"mean_{index}", "column"], f"column_{index}"),
            node("Mul", [f"column_{index}", "small"], f"shift_{index}"),
            node("Add", [f"sum_{index}", f"shift_{index}"], f"sum_{index + 1}"),
        ]
    total = f"sum_{len(contract.streams)}"
    if bounded:
        nodes += [node("Max", [total, "low"], "above"), node("Min", ["above", "high"], "free")]
        total = "free"
    nodes += [
        node("Reshape", ["delay", "column"], "delay_column"),
        node("Less", ["rows", "delay_column"], "committed"),
        node("Where", ["committed", "prefix", total], "chunk"),
    ]
    if forecast is not None:
        outputs["outcome"] = ("float32", [batch, 2, BINS])
        cells = np.zeros((2, 1, 2, BINS), np.float32)
        cells[0, 0, 0] = cells[1, 0, 1] = forecast / BINS
        constants |= {"one": np.array(1, np.float32), "failure": cells[0], "success": cells[1]}
        nodes += [
            node("ReduceMean", ["noise", "inner"], "luck"),
            node("Sigmoid", ["luck"], "chance"),
            node("Sub", ["one", "chance"], "rest"),
            node("Mul", ["chance", "success"], "good"),
            node("Mul", ["rest", "failure"], "bad"),
            node("Add", ["good", "bad"], "outcome"),
        ]
    return model(inputs, outputs, nodes, constants)


def wanted(
    contract: Contract, observation: dict[str, NDArray[Any]], noise: NDArray[np.float32]
) -> NDArray[np.float64]:
    """What :func:`student` computes for noises [..., H, A] with nothing committed."""
    shift = sum(float(value.astype(np.float64).mean()) for value in observation.values()) * 1e-5
    action = contract.action
    return np.clip(
        noise * 0.002 + shift,
        action.minimum.astype(np.float32),
        action.maximum.astype(np.float32),
    )


def example(contract: Contract, seed: int, count: int | None = None) -> tuple[Any, Any, Any]:
    """Observation, prefix inside the bounds, and noise [H, A] or [count, H, A]."""
    rng = np.random.default_rng(seed)
    action = contract.action
    observation = {
        s.key: rng.integers(0, 256, s.shape, np.uint8)
        if s.kind == "image"
        else rng.standard_normal(s.shape, np.float32)
        for s in contract.streams
    }
    shape = (action.chunk_length, len(action.names))
    prefix = rng.uniform(action.minimum, action.maximum, shape).astype(np.float32)
    noise = rng.standard_normal(shape if count is None else (count, *shape), np.float32)
    return observation, prefix, noise


def bundle_of(
    path: Path, contract: Contract, key: Path, files: dict[str, bytes], *, outcome: bool = False
) -> Bundle:
    """Writes, signs, verifies and loads a bundle of these files."""
    training = Training(
        seed=0, data_sha256="0" * 64, episodes=1, windows=1, parameters=1, metrics={}
    )
    declared = Outcome(remaining_ticks=[1.0 + 2 * index for index in range(BINS)])
    write_bundle(
        path,
        contract,
        files,
        recipe="test",
        training=training,
        created_by={"test": "1"},
        key=load_key(key),
        outcome=declared if outcome else None,
    )
    return load_bundle(path, contract, [key.with_suffix(".pub")])


def student_bundle(path: Path, contract: Contract, key: Path, **changes: Any) -> Bundle:
    """A bundle of a :func:`student`; its manifest declares a forecast where there is one."""
    files = {MODEL: student(contract, **changes)}
    return bundle_of(path, contract, key, files, outcome=changes.get("forecast") is not None)
