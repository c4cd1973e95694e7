"""The samples of a stream whose messages all have one layout, made together.

The answers are those of ``contract.observation.sample`` for each message; what cannot be vouched
for here is left to it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.bags.columns import Columns
from vla_rl_nodes.contract.spec import Stream

# Stamps (nanoseconds), values, and which of them are valid.
Samples = tuple[list[int], NDArray[Any], list[bool]]


def sample_columns(stream: Stream, columns: Columns) -> Samples | None:
    """What the n messages contribute: uint8 images or float32 vectors [n, ...].

    Returns:
        None where the messages differ in size, encoding or names, or break the contract as a
        whole: then each has to be looked at.
    """
    made = _images(stream, columns) if stream.kind == "image" else _vectors(stream, columns)
    if made is None:
        return None
    values, valid = made
    return columns.stamps_ns.tolist(), values, valid.tolist()


def _images(stream: Stream, columns: Columns) -> tuple[NDArray[Any], NDArray[np.bool_]] | None:
    fields = columns.fields
    height, width, step = (_same(fields.get(name)) for name in ("height", "width", "step"))
    encoding, data = _same(fields.get("encoding")), fields.get("data")
    if not isinstance(data, np.ndarray) or None in (height, width, step):
        return None
    if encoding not in ("rgb8", "bgr8") or (height, width, 3) != stream.shape:
        return None
    if step < 3 * width or data.shape[1] != height * step:
        return None
    count = len(data)
    rows = data.reshape(count, height, step)[:, :, : 3 * width]
    pixels = rows.reshape(count, height, width, 3)
    if encoding == "bgr8":
        pixels = pixels[:, :, :, ::-1]
    return pixels, np.ones(count, dtype=np.bool_)


def _vectors(stream: Stream, columns: Columns) -> tuple[NDArray[Any], NDArray[np.bool_]] | None:
    names, position = _same(columns.fields.get("name")), columns.fields.get("position")
    if not isinstance(names, tuple) or not isinstance(position, np.ndarray):
        return None
    where = {name: index for index, name in enumerate(names)}
    if position.shape[1] != len(names) or len(where) != len(names):
        return None
    if any(name not in where for name in stream.names) or (len(stream.names),) != stream.shape:
        return None
    chosen = position[:, [where[name] for name in stream.names]].astype(np.float64)
    with np.errstate(over="ignore"):
        values = chosen.astype(np.float32)
    # Of the finite numbers, those above float32's range overflow to infinity.
    return values, np.asarray(np.isfinite(values).all(axis=1), dtype=np.bool_)


def _same(column: Any) -> Any:
    """The one value of a column, None where it has several."""
    if isinstance(column, np.ndarray):
        return column[0].item() if column.ndim == 1 and (column == column[0]).all() else None
    if isinstance(column, list) and column.count(column[0]) == len(column):
        return column[0]
    return None
