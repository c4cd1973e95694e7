"""Small ONNX graphs in their wire format, without the onnx package, and inputs for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.contract.spec import Contract

# Element types of onnx.proto3.
_CODES = {"float32": 1, "uint8": 2, "int64": 7, "float64": 11}

Value = tuple[str, Sequence[int | str]]  # type and shape; a string is an axis of any size


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


def constant(name: str, value: NDArray[Any]) -> bytes:
    """An initializer that holds its numbers."""
    dims = b"".join(_number(1, size) for size in value.shape)
    return (
        dims + _number(2, _CODES[value.dtype.name]) + _block(8, name) + _block(9, value.tobytes())
    )


def outside_constant(name: str, shape: Sequence[int], location: str) -> bytes:
    """A float32 initializer whose numbers stand in another file."""
    dims = b"".join(_number(1, size) for size in shape)
    entry = _block(1, "location") + _block(2, location)
    return dims + _number(2, 1) + _block(8, name) + _block(13, entry) + _number(14, 1)


def node(kind: str, inputs: Sequence[str], output: str, **attributes: int) -> bytes:
    """One operator with one output and whole-number attributes."""
    data = b"".join(_block(1, name) for name in inputs) + _block(2, output) + _block(4, kind)
    for name, number in attributes.items():
        data += _block(5, _block(1, name) + _number(3, number) + _number(20, 2))
    return data


def model(
    inputs: Mapping[str, Value],
    outputs: Mapping[str, Value],
    nodes: Sequence[bytes],
    constants: Mapping[str, NDArray[Any]],
    outside: Sequence[bytes] = (),
) -> bytes:
    """A whole model of opset 18.

    Args:
        inputs: name to type and shape.
        outputs: the same.
        nodes: of :func:`node`, in the order of computation.
        constants: name to value.
        outside: further initializers, of :func:`outside_constant`.
    """
    graph = b"".join(_block(1, part) for part in nodes) + _block(2, "test")
    graph += b"".join(_block(5, constant(*item)) for item in constants.items())
    graph += b"".join(_block(5, part) for part in outside)
    graph += b"".join(_block(11, _value(name, *value)) for name, value in inputs.items())
    graph += b"".join(_block(12, _value(name, *value)) for name, value in outputs.items())
    return _number(1, 8) + _block(8, _number(2, 18)) + _block(7, graph)


def endless_loop(value: str, output: str, rounds: str) -> bytes:
    """A Loop that hands a float32 tensor on, ``rounds`` times: the name of an int64 scalar."""

    def scalar(name: str, code: int) -> bytes:
        return _block(1, name) + _block(2, _block(1, _number(1, code) + _block(2, b"")))

    any_shape = _block(2, _block(1, _number(1, 1)))
    body = _block(1, node("Identity", ["go"], "go_on")) + _block(1, node("Identity", ["v"], "w"))
    body += _block(2, "body")
    body += _block(11, scalar("round", 7)) + _block(11, scalar("go", 9))
    body += _block(11, _block(1, "v") + any_shape) + _block(12, scalar("go_on", 9))
    body += _block(12, _block(1, "w") + any_shape)
    attribute = _block(1, "body") + _block(6, body) + _number(20, 5)
    return node("Loop", [rounds, "", value], output) + _block(5, attribute)


def observation_of(contract: Contract, seed: int = 0) -> dict[str, NDArray[Any]]:
    """Noise in the shape of one observation."""
    rng = np.random.default_rng(seed)
    return {
        s.key: rng.integers(0, 256, s.shape, np.uint8)
        if s.kind == "image"
        else rng.standard_normal(s.shape, np.float32)
        for s in contract.streams
    }


def _value(name: str, dtype: str, shape: Sequence[int | str]) -> bytes:
    dims = b"".join(
        _block(1, _block(2, size) if isinstance(size, str) else _number(1, size)) for size in shape
    )
    return _block(1, name) + _block(2, _block(1, _number(1, _CODES[dtype]) + _block(2, dims)))
