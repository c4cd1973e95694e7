"""JSON with numpy arrays, laid out as json-numpy does it for the servers of OpenVLA.

An array is an object with ``__numpy__`` (base64 of its bytes), ``dtype`` and ``shape``. Where a
client cannot patch its JSON library, those servers take the whole message as one text under the
key ``encoded`` and answer with a text that holds JSON again: the double encoding.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
from typing import Any, NoReturn

import numpy as np

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.remote.arrays import Value, array_from

DEEPEST = 8
_ARRAY = {"__numpy__", "dtype", "shape"}


class _RefusedError(ValueError):
    """Found by a hook inside of the JSON library; becomes an InputError outside of it."""


def encode(message: Value) -> bytes:
    """The bytes of a message; keys keep their order.

    Raises:
        TypeError: it holds something that is no plain value and no array of numbers.
        ValueError: it holds a number that is not finite.
    """
    return json.dumps(message, default=_array_object, allow_nan=False).encode("ascii")


def encode_twice(message: Value) -> bytes:
    """The bytes of the double encoding: ``{"encoded": "<the message as JSON>"}``."""
    return encode({"encoded": encode(message).decode("ascii")})


def decode(place: object, data: bytes) -> Value:
    """The message in ``data``, whose size the caller has bounded.

    Raises:
        InputError: not JSON, a number that is not finite, a key that stands twice, nested too
            deeply, or an array that is not one of plain numbers.
    """
    try:
        text = data.decode("utf-8")
        found = json.loads(text, parse_constant=_not_finite, object_pairs_hook=_unique)
    except _RefusedError as error:
        raise InputError(place, str(error), "check what serves there") from error
    except (ValueError, RecursionError) as error:
        raise InputError(place, "is no JSON message", "check what serves there") from error
    return _plain(place, found, 0)


def decode_twice(place: object, data: bytes) -> Value:
    """The message in the double encoding of an answer: a text that holds JSON.

    Raises:
        InputError: see :func:`decode`; or the outer JSON is no text.
    """
    inner = decode(place, data)
    if not isinstance(inner, str):
        raise InputError(place, "is not doubly encoded", "set double_encoded to false")
    return decode(place, inner.encode("utf-8", "surrogatepass"))


def _array_object(value: object) -> dict[str, Any]:
    if isinstance(value, np.ndarray) and value.dtype.kind in "buif":
        return {
            "__numpy__": base64.b64encode(value.tobytes()).decode("ascii"),
            "dtype": value.dtype.str,
            "shape": value.shape,
        }
    raise TypeError(f"a message cannot hold a {type(value).__name__}")


def _not_finite(name: str) -> NoReturn:
    raise _RefusedError(f"holds the number {name}")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _RefusedError("holds a key twice")
    return found


def _plain(place: object, value: Any, depth: int) -> Value:
    if depth > DEEPEST:
        raise InputError(place, f"nests deeper than {DEEPEST}", "send flat objects")
    if isinstance(value, list):
        return [_plain(place, item, depth + 1) for item in value]
    if isinstance(value, dict):
        if set(value) == _ARRAY:
            return _array(place, value)
        return {key: _plain(place, item, depth + 1) for key, item in value.items()}
    if isinstance(value, float) and not math.isfinite(value):  # such as 1e999
        raise InputError(place, "holds a number beyond all bounds", "send finite numbers")
    plain: Value = value
    return plain


def _array(place: object, value: dict[str, Any]) -> Value:
    text = value["__numpy__"]
    try:
        if not isinstance(text, str):
            raise ValueError
        data = base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error) as error:
        raise InputError(place, "holds an array that is no base64", "send base64") from error
    return array_from(place, data, value["dtype"], value["shape"])
