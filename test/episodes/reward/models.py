"""Reward models that judge by brightness, and pictures of a given brightness.

``light`` is the mean of a picture over 255. The classifier's probability is the light; 100 ticks
remain in the dark and none in full light; the critic is by how many per cent the light grew; and
the rubric scores the last frame, from 1 in the dark to 5 in full light.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.episodes.reward.folder import RewardModel, load_reward_model, write_reward_model
from vla_rl_nodes.episodes.reward.judge import Look
from vla_rl_nodes.policy.signing import load_key, public_path

CONTRACT = load_contract("franka_pick")
CAMERA = "image_scene"
SHAPE = (64, 64, 3)
FRAMES = 4
TASKS = [CONTRACT.task, "put the cube into the box"]

_FIELDS: dict[str, dict[str, Any]] = {
    "success_classifier": {"threshold": 0.5, "threshold_rule": "the middle"},
    "steps_to_go": {"steps_max": 100.0},
    "pairwise_progress": {},
    "rubric5": {"frames": FRAMES, "tasks": TASKS},
}
_TYPES = {"uint8": TensorProto.UINT8, "float32": TensorProto.FLOAT, "int64": TensorProto.INT64}
Value = tuple[str, Sequence[int | str]]


def fields(kind: str, **changes: Any) -> dict[str, Any]:
    """The fields of a manifest that a learner gives."""
    return {
        "kind": kind,
        "name": f"bright_{kind}",
        "inputs": [CAMERA],
        **_FIELDS[kind],
        "trained_on": {"episodes": 0, "labels_sha256": "0" * 64},
        "figures": {"auc": 1.0},
        "stand_in": True,
        **changes,
    }


def model_bytes(kind: str, scale: float = 1.0, spread: float = 10.0, batch: Any = 1) -> bytes:
    """The graph of a kind; ``scale`` is a factor on what it gives."""
    image: Value = ("uint8", [batch, *SHAPE])
    number: Value = ("float32", [batch])
    if kind == "success_classifier":
        nodes = [*_light(CAMERA, "light"), _node("Mul", ["light", "scale"], "probability")]
        return _model({CAMERA: image}, {"probability": number}, nodes, {"scale": scale})
    if kind == "steps_to_go":
        nodes = [
            *_light(CAMERA, "light"), _node("Mul", ["light", "scale"], "scaled"),
            _node("Sub", ["one", "scaled"], "dark"), _node("Mul", ["dark", "hundred"], "steps"),
            _node("Mul", ["light", "zero"], "none"), _node("Add", ["none", "wide"], "spread"),
        ]  # fmt: skip
        constants = {"scale": scale, "one": 1.0, "hundred": 100.0, "zero": 0.0, "wide": spread}
        return _model({CAMERA: image}, {"steps": number, "spread": number}, nodes, constants)
    if kind == "pairwise_progress":
        before, after = f"before/{CAMERA}", f"after/{CAMERA}"
        nodes = [
            *_light(before, "old"), *_light(after, "new"), _node("Sub", ["new", "old"], "grown"),
            _node("Mul", ["grown", "scale"], "critic"),
        ]  # fmt: skip
        return _model({before: image, after: image}, {"critic": number}, nodes,
                      {"scale": 100.0 * scale})  # fmt: skip
    nodes = [
        _node("Gather", [f"frames/{CAMERA}", "last"], "final", axis=1), *_light("final", "light"),
        _node("Reshape", ["light", "column"], "lights"), _node("Mul", ["lights", "four"], "level"),
        _node("Sub", ["level", "levels"], "off"), _node("Mul", ["off", "off"], "square"),
        _node("Mul", ["square", "sharp"], "fit"), _node("Cast", ["task"], "number", to=1),
        _node("Mul", ["number", "zero"], "none"), _node("Reshape", ["none", "column"], "nones"),
        _node("Add", ["fit", "nones"], "scores"),
    ]  # fmt: skip
    frames: Value = ("uint8", [batch, FRAMES, *SHAPE])
    inputs: dict[str, Value] = {f"frames/{CAMERA}": frames, "task": ("int64", [batch])}
    weights = {
        "last": np.array(FRAMES - 1, np.int64),
        "column": np.array([-1, 1], np.int64),
        "four": 4.0,
        "levels": np.arange(5, dtype=np.float32)[None],
        "sharp": -4.0,
        "zero": 0.0,
    }
    return _model(inputs, {"scores": ("float32", [batch, 5])}, nodes, weights)


def folder(path: Path, kind: str, key_path: Path | None, data: bytes | None = None,
           **changes: Any) -> Path:  # fmt: skip
    """A written folder, signed where there is a key."""
    key = None if key_path is None else load_key(key_path)
    write_reward_model(path, CONTRACT, data or model_bytes(kind), fields(kind, **changes), key)
    return path


def loaded(path: Path, kind: str, key_path: Path, data: bytes | None = None,
           contract: Contract = CONTRACT, **changes: Any) -> RewardModel:  # fmt: skip
    """A folder, written and read again."""
    written = folder(path, kind, key_path, data, **changes)
    return load_reward_model(written, contract, [public_path(key_path)])


def picture(light: float) -> NDArray[np.uint8]:
    """A picture of one grey; ``light`` of 0 to 1 in steps of 1/255."""
    return np.full(SHAPE, round(255 * light), np.uint8)


def look(stamp_ms: int, light: float, episode: str = "a") -> Look:
    """A look at a picture."""
    return Look(episode, stamp_ms * 1_000_000, CONTRACT.task, {CAMERA: picture(light)})


def film(lights: Sequence[float], task: str = CONTRACT.task, stamp_ms: int = 0) -> Look:
    """A look at an episode of pictures."""
    frames = np.stack([picture(light) for light in lights])
    return Look("a", stamp_ms * 1_000_000, task, frames={CAMERA: frames})


def _light(image: str, output: str) -> list[Any]:
    """Mean over everything but the batch, over 255."""
    return [
        _node("Cast", [image], f"{output}_float", to=1),
        _node("Reshape", [f"{output}_float", "rows"], f"{output}_flat"),
        _node("ReduceMean", [f"{output}_flat", "inner"], f"{output}_mean", keepdims=0),
        _node("Div", [f"{output}_mean", "white"], output),
    ]


def _node(kind: str, inputs: Sequence[str], output: str, **attributes: int) -> Any:
    return helper.make_node(kind, list(inputs), [output], **attributes)


def _model(inputs: Mapping[str, Value], outputs: Mapping[str, Value], nodes: Sequence[Any],
           constants: Mapping[str, Any]) -> bytes:  # fmt: skip
    def ports(values: Mapping[str, Value]) -> list[Any]:
        return [helper.make_tensor_value_info(name, _TYPES[dtype], list(shape))
                for name, (dtype, shape) in values.items()]  # fmt: skip

    every = {
        "rows": np.array([1, -1] if _fixed(inputs) else [0, -1], np.int64),
        "inner": np.array([1], np.int64), "white": 255.0, **constants,
    }  # fmt: skip
    weights = [
        numpy_helper.from_array(np.asarray(v, np.float32) if isinstance(v, float) else v, name)
        for name, v in every.items()
    ]
    graph = helper.make_graph(nodes, "bright", ports(inputs), ports(outputs), weights)
    opset = [helper.make_opsetid("", 18)]
    data: bytes = helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString()
    onnx.checker.check_model(data)
    return data


def _fixed(inputs: Mapping[str, Value]) -> bool:
    return all(shape[0] == 1 for _, shape in inputs.values())
