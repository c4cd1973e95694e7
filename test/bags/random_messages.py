"""Random messages of any type, with sizes that repeat or change."""

from __future__ import annotations

from typing import Any

import numpy as np
from rosbags.interfaces import Nodetype
from rosbags.serde.utils import ndtype

from .sensor_messages import STORE, TYPES

FLOATS = [np.nan, np.inf, -0.0, 5e-324, 1.5]


def random_message(type_name: str, sizes: np.random.Generator, values: np.random.Generator) -> Any:
    """A message whose lengths come from one generator and whose content from the other."""
    fields = [
        _field(node, description, sizes, values)
        for _, (node, description) in STORE.fielddefs[type_name][1]
    ]
    return TYPES[type_name](*fields)


def _field(node: Any, description: Any, sizes: Any, values: Any) -> Any:
    if node == Nodetype.NAME:
        return random_message(description, sizes, values)
    if node == Nodetype.BASE:
        return _text(sizes, values) if description[0] == "string" else _numbers(
            description[0], 1, values
        )[0].item()  # fmt: skip
    (inner, name), count = description
    if node == Nodetype.SEQUENCE:
        count = int(sizes.integers(0, 5))
    if inner == Nodetype.NAME:
        return [random_message(name, sizes, values) for _ in range(count)]
    if name[0] == "string":
        return [_text(sizes, values) for _ in range(count)]
    return _numbers(name[0], count, values)


def _text(sizes: Any, values: Any) -> str:
    letters = values.choice(list("abcxyz/_ 0189"), size=int(sizes.integers(0, 9)))
    return "".join(letters) + ("é" if sizes.random() < 0.1 else "")


def _numbers(kind: str, count: int, values: Any) -> Any:
    dtype = np.dtype(getattr(np, ndtype(kind)))
    if kind == "bool":
        return values.integers(0, 2, size=count).astype(np.bool_)
    if dtype.kind == "f":
        found = values.normal(size=count).astype(dtype)
        for index in range(count):
            if values.random() < 0.1:
                found[index] = values.choice(FLOATS)
        return found
    limits = np.iinfo(dtype)
    return values.integers(limits.min, limits.max, size=count, dtype=dtype, endpoint=True)
