"""A small but whole ONNX policy, written without the onnx package, and bundles of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.policy.bundle import MODEL, write_bundle
from vla_rl_nodes.policy.manifest import Training
from vla_rl_nodes.policy.signing import load_key

# Element types of onnx.proto3.
_CODES = {"float32": 1, "uint8": 2, "int64": 7}


def _varint(value: int) -> bytes:
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*parts, value])


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _block(field: int, value: bytes | str) -> bytes:
    data = value.encode() if isinstance(value, str) else value
    return _varint(field << 3 | 2) + _varint(len(data)) + data


def _tensor(name: str, value: NDArray[Any]) -> bytes:
    dims = b"".join(_number(1, size) for size in value.shape)
    return (
        dims + _number(2, _CODES[value.dtype.name]) + _block(8, name) + _block(9, value.tobytes())
    )


def _value(name: str, dtype: str, shape: Sequence[int]) -> bytes:
    dims = _block(1, _block(2, "batch")) + b"".join(_block(1, _number(1, n)) for n in shape)
    return _block(1, name) + _block(2, _block(1, _number(1, _CODES[dtype]) + _block(2, dims)))


def _node(kind: str, inputs: Sequence[str], output: str, **attributes: int) -> bytes:
    data = b"".join(_block(1, name) for name in inputs) + _block(2, output) + _block(4, kind)
    for name, number in attributes.items():
        data += _block(5, _block(1, name) + _number(3, number) + _number(20, 2))
    return data


def onnx_policy(
    contract: Contract,
    *,
    leave_out: str = "",
    extra: str = "",
    gain: float = 0.002,
    keep_prefix: bool = True,
    bounded: bool = True,
) -> bytes:
    """A graph that shifts noise by the brightness of the images and the sum of the vectors.

    Args:
        contract: gives inputs, shapes and bounds.
        leave_out: an input that the graph shall not have.
        extra: a further float input.
        gain: of the noise; infinity makes the output not finite.
        keep_prefix: whether committed rows are kept.
        bounded: whether the chunk is clipped to the contract's bounds.
    """
    action = contract.action
    chunk = [action.chunk_length, len(action.names)]
    inputs = [(s.key, s.dtype.name, list(s.shape)) for s in contract.streams]
    inputs += [("prefix", "float32", chunk), ("delay", "int64", []), ("noise", "float32", chunk)]
    inputs = [row for row in inputs if row[0] != leave_out]
    if extra:
        inputs.append((extra, "float32", [1]))
    keys = [s.key for s in contract.streams if s.key != leave_out]
    constants: dict[str, NDArray[Any]] = {
        "flat": np.array([0, -1], np.int64),
        "last": np.array([1], np.int64),
        "column": np.array([-1, 1, 1], np.int64),
        "gain": np.array(gain, np.float32),
        "small": np.array(1e-5, np.float32),
        "rows": np.arange(chunk[0], dtype=np.int64)[None, :, None],
        "low": action.minimum.astype(np.float32),
        "high": action.maximum.astype(np.float32),
    }
    nodes = [_node("Mul", ["noise", "gain"], "sum_0")]
    for index, key in enumerate(keys):
        nodes += [
            _node("Cast", [key], f"float_{index}", to=1),
            _node("Reshape", [f"float_{index}", "flat"], f"flat_{index}"),
            _node("ReduceMean", [f"flat_{index}", "last"], f"mean_{index}"),
            _node("Reshape", [f"mean_{index}", "column"], f"column_{index}"),
            _node("Mul", [f"column_{index}", "small"], f"shift_{index}"),
            _node("Add", [f"sum_{index}", f"shift_{index}"], f"sum_{index + 1}"),
        ]
    total = f"sum_{len(keys)}"
    if bounded:
        nodes += [_node("Max", [total, "low"], "above"), _node("Min", ["above", "high"], "free")]
        total = "free"
    if keep_prefix:
        nodes += [
            _node("Reshape", ["delay", "column"], "delay_column"),
            _node("Less", ["rows", "delay_column"], "committed"),
            _node("Where", ["committed", "prefix", total], "chunk"),
        ]
    else:
        nodes.append(_node("Identity", [total], "chunk"))
    graph = b"".join(_block(1, node) for node in nodes) + _block(2, "policy")
    graph += b"".join(_block(5, _tensor(name, value)) for name, value in constants.items())
    graph += b"".join(_block(11, _value(*row)) for row in inputs)
    graph += _block(12, _value("chunk", "float32", chunk))
    return _number(1, 8) + _block(8, _number(2, 18)) + _block(7, graph)


TRAINING = Training(
    seed=0, data_sha256="0" * 64, episodes=3, windows=90, parameters=1, metrics={"error": 0.5}
)


@pytest.fixture(scope="session")
def trusted(key_path: Path) -> list[Path]:
    return [key_path.with_suffix(".pub")]


@pytest.fixture
def make_bundle(tmp_path: Path, contract: Contract, key_path: Path) -> Callable[..., Path]:
    """Writes a bundle of an onnx_policy with the given changes."""

    def make(name: str = "bundle", files: dict[str, bytes] | None = None, **changes: Any) -> Path:
        path = tmp_path / name
        model = onnx_policy(contract, **changes)
        write_bundle(
            path,
            contract,
            {MODEL: model, "recipe.yaml": b"name: test\n", **(files or {})},
            recipe="test",
            training=TRAINING,
            created_by={"test": "1"},
            key=load_key(key_path),
        )
        return path

    return make
