"""msgpack with numpy arrays, laid out as the client and server of openpi do it.

An array is a map with the keys ``__ndarray__``, ``data``, ``dtype`` and ``shape``, each of them
bytes (msgpack's bin type), and a numpy scalar one with ``__npgeneric__``, ``data`` and ``dtype``
(openpi-client, ``msgpack_numpy``). There is no way to name a class or a function in it.
"""

from __future__ import annotations

from typing import Any

import msgpack
import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.remote.arrays import Value, array_from

DEEPEST = 8
MOST_ITEMS = 4096  # of one list or map: arrays travel as bytes, never as lists
_ARRAY = {b"__ndarray__", b"data", b"dtype", b"shape"}
_SCALAR = {b"__npgeneric__", b"data", b"dtype"}


def encode(message: Value) -> bytes:
    """The bytes of a message; keys keep their order.

    Raises:
        TypeError: it holds something that is no plain value and no array of numbers.
    """
    packed: bytes = msgpack.packb(message, default=_array_map)
    return packed


def decode(place: object, data: bytes) -> Value:
    """The message in ``data``, whose size the caller has bounded.

    Raises:
        InputError: not msgpack, more than one object, nested too deeply, a key that is no text,
            or an array that is not one of plain numbers.
    """
    try:
        found = msgpack.unpackb(
            data, max_array_len=MOST_ITEMS, max_map_len=MOST_ITEMS, max_ext_len=0, timestamp=0
        )
    except (ValueError, msgpack.UnpackException, RecursionError, OverflowError) as error:
        raise InputError(place, "is no msgpack message", "check what serves there") from error
    return _plain(place, found, 0)


def _array_map(value: object) -> dict[bytes, Any]:
    if isinstance(value, np.ndarray) and value.dtype.kind in "buif":
        return {
            b"__ndarray__": True,
            b"data": value.tobytes(),
            b"dtype": value.dtype.str,
            b"shape": value.shape,
        }
    raise TypeError(f"a message cannot hold a {type(value).__name__}")


def _plain(place: object, value: Any, depth: int) -> Value:
    if depth > DEEPEST:
        raise InputError(place, f"nests deeper than {DEEPEST}", "send flat maps")
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list):
        return [_plain(place, item, depth + 1) for item in value]
    if isinstance(value, dict):
        keys = set(value)
        if keys == _ARRAY and value[b"__ndarray__"] is True:
            return _array(place, value)
        if keys == _SCALAR and value[b"__npgeneric__"] is True:
            return _scalar(place, value)
        if all(isinstance(key, str) for key in keys):
            return {key: _plain(place, item, depth + 1) for key, item in value.items()}
        raise InputError(place, "holds a map whose keys are not text", "send text as keys")
    raise InputError(place, f"holds a value of type {type(value).__name__}", "send plain values")


def _array(place: object, value: dict[bytes, Any]) -> NDArray[Any]:
    data = value[b"data"]
    if not isinstance(data, bytes):
        raise InputError(place, "holds an array without bytes", "send its data as bin")
    return array_from(place, data, value[b"dtype"], value[b"shape"])


def _scalar(place: object, value: dict[bytes, Any]) -> Value:
    number = value[b"data"]
    if not isinstance(number, bool | int | float):
        raise InputError(place, "holds a numpy scalar that is no number", "send a number")
    return number
