"""Arrays from untrusted bytes: a fixed list of number types, and sizes that must agree."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.errors import InputError

# Text from outside is looked up here and never parsed: numpy's parser knows objects and records.
_KINDS = ("b1", "u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8")
_TYPES = {
    f"{order}{kind}": np.dtype(f"{order}{kind}")
    for kind in _KINDS
    for order in ("|" if kind.endswith("1") else "<>")
}
MOST_AXES = 6

# What a message may hold once it is decoded; maps and lists nest.
Value = None | bool | int | float | str | list[Any] | dict[str, Any] | NDArray[Any]


def array_from(place: object, data: bytes, dtype: object, shape: object) -> NDArray[Any]:
    """An array of its own from the parts that a message gives.

    Args:
        place: of the message, for the error.
        data: the numbers in C order.
        dtype: numpy's short text for a type, such as ``<f4``; bool, integers and floats only.
        shape: list of lengths of at least 1; an empty list is a scalar.

    Returns:
        An array of that shape in this machine's byte order.

    Raises:
        InputError: another type, a shape that is none, or bytes that do not fill it exactly.
    """
    kind = _TYPES.get(dtype) if isinstance(dtype, str) else None
    if kind is None:
        raise InputError(place, f"holds an array of type {_short(dtype)}", "send plain numbers")
    if (
        not isinstance(shape, list)
        or len(shape) > MOST_AXES
        or not all(type(length) is int and length >= 1 for length in shape)
    ):
        raise InputError(
            place, f"holds an array of shape {_short(shape)}", "send a list of lengths"
        )
    if math.prod(shape) * kind.itemsize != len(data):
        raise InputError(
            place,
            f"holds {len(data)} bytes for an array {dtype}{_short(shape)}",
            "send as many bytes as the shape needs",
        )
    if kind.kind == "b" and data.translate(None, b"\0\1"):
        raise InputError(place, "holds a bool that is neither 0 nor 1", "send 0 or 1")
    values = np.frombuffer(data, dtype=kind).reshape(shape)
    return values.astype(kind.newbyteorder("="))


def _short(value: object) -> str:
    """A bounded picture of what came: a message must not write the log."""
    if isinstance(value, str):
        return repr(value[:20])
    if isinstance(value, list) and len(value) <= MOST_AXES and all(type(n) is int for n in value):
        return str([min(n, 10**12) for n in value])
    return f"({type(value).__name__})"
