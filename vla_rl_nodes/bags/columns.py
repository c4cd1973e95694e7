"""All messages of a topic as one array for each field.

Paths name the fields as in ``header.stamp.sec`` or ``points[2].positions``. A number gives an
array [n], a sequence of numbers an array [n, k], or a list of n arrays where the lengths differ; a
text gives a list of n strings, a sequence of texts a list of n tuples. A sequence of messages that
has the same length everywhere is spread into the fields of each, except above 64; any other gives
a list of n lists of messages. The two ways in this file give the same answers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rosbags.interfaces import Nodetype

from vla_rl_nodes.bags.layout import (
    HEADER,
    MOST_ITEMS,
    NUMBERS,
    Layout,
    Numbers,
    Texts,
    fields_of,
)
from vla_rl_nodes.errors import InputError

BODY_AT = 8  # in a row; so that numbers are aligned, the encapsulation header stands before it
Column = NDArray[Any] | list[Any]


@dataclass(frozen=True)
class Columns:
    """The n messages of one topic, in the order in which they were written.

    Attributes:
        type_name: such as ``sensor_msgs/msg/Image``.
        log_ns: int64 [n]: log times, nanoseconds.
        publish_ns: int64 [n]: publish times, nanoseconds.
        fields: by path. Arrays may be views of larger ones and are not to be written to.
        layout: what all messages have in common, None where they were deserialised one by one.
    """

    type_name: str
    log_ns: NDArray[np.int64]
    publish_ns: NDArray[np.int64]
    fields: Mapping[str, Column]
    layout: Layout | None

    def __len__(self) -> int:
        return len(self.log_ns)

    @property
    def stamps_ns(self) -> NDArray[np.int64]:
        """Header stamps, int64 [n], nanoseconds.

        Raises:
            InputError: the type has no header.
        """
        seconds = self.fields.get("header.stamp.sec")
        nanoseconds = self.fields.get("header.stamp.nanosec")
        if not isinstance(seconds, np.ndarray) or not isinstance(nanoseconds, np.ndarray):
            raise InputError(self.type_name, "has no header", "use the log time")
        return seconds.astype(np.int64) * 1_000_000_000 + nanoseconds.astype(np.int64)


def fits(layout: Layout, rows: NDArray[np.uint8]) -> bool:
    """Whether every row has the layout: all of its lengths and ends of texts."""
    begin = BODY_AT - HEADER
    return len(rows) == 0 or all(
        bool((_at(rows, begin + offset, kind, 1) == value).all())
        for offset, kind, value in layout.fixed
    )


def fields_of_rows(layout: Layout, rows: NDArray[np.uint8]) -> dict[str, Column]:
    """The fields of messages that have the layout, as views of their bytes.

    Args:
        layout: of all of them.
        rows: uint8 [n, w], each a message behind ``BODY_AT`` bytes, w a multiple of 8.

    Raises:
        UnicodeDecodeError: a text that is not UTF-8.
    """
    fields: dict[str, Column] = {}
    for leaf in layout.leaves:
        if isinstance(leaf, Numbers):
            fields[leaf.path] = _numbers(rows, leaf)
        elif isinstance(leaf, Texts):
            fields[leaf.path] = _texts(rows, leaf)
        else:
            fields[leaf.path] = [[] for _ in rows]
    return fields


def _numbers(rows: NDArray[np.uint8], leaf: Numbers) -> NDArray[Any]:
    count = 1 if leaf.count is None else leaf.count
    values = _at(rows, BODY_AT + leaf.offset, "<" + NUMBERS[leaf.kind], count)
    if leaf.kind == "bool":
        values = values != 0
    values.flags.writeable = False
    return values[:, 0] if leaf.count is None else values


def _at(rows: NDArray[np.uint8], offset: int, kind: str, count: int) -> NDArray[Any]:
    """The ``count`` numbers at an offset in every row, as a view [n, count]."""
    dtype = np.dtype(kind)
    shape, strides = (len(rows), count), (rows.strides[0], dtype.itemsize)
    return np.ndarray(shape, dtype, buffer=rows, offset=offset if count else 0, strides=strides)


def _texts(rows: NDArray[np.uint8], leaf: Texts) -> list[Any]:
    parts = [rows[:, BODY_AT + start : BODY_AT + start + size] for start, size in leaf.spans]
    if all((part == part[0]).all() for part in parts):
        texts = tuple(part[0].tobytes().decode() for part in parts)
        return [texts if leaf.several else texts[0]] * len(rows)
    columns = [[text.tobytes().decode() for text in part] for part in parts]
    return list(zip(*columns, strict=True)) if leaf.several else columns[0]


def fields_of_messages(type_name: str, messages: Sequence[Any]) -> dict[str, Column]:
    """The fields of messages that were deserialised one by one.

    Raises:
        KeyError: an unknown type.
    """
    fields: dict[str, Column] = {}
    _spread(fields, "", type_name, messages)
    return fields


def _spread(
    fields: dict[str, Column], prefix: str, type_name: str, messages: Sequence[Any]
) -> None:
    for name, (node, description) in fields_of(type_name):
        path = f"{prefix}{name}"
        values = [getattr(message, name) for message in messages]
        if node == Nodetype.NAME:
            _spread(fields, f"{path}.", description, values)
        elif node == Nodetype.BASE:
            fields[path] = _joined(description[0], values)
        elif description[0][0] == Nodetype.BASE:
            fields[path] = _joined_sequences(description[0][1][0], values)
        else:
            lengths = {len(value) for value in values}
            count = lengths.pop()
            if lengths or not 0 < count <= MOST_ITEMS:
                fields[path] = [list(value) for value in values]
                continue
            for index in range(count):
                items = [value[index] for value in values]
                _spread(fields, f"{path}[{index}].", description[0][1], items)


def _joined(kind: str, values: list[Any]) -> Column:
    if kind not in NUMBERS:
        return values
    return np.array(values, dtype=np.bool_ if kind == "bool" else NUMBERS[kind])


def _joined_sequences(kind: str, values: list[Any]) -> Column:
    if kind not in NUMBERS:
        return [tuple(value) for value in values]
    dtype = np.dtype(NUMBERS[kind])
    rows = [np.asarray(value).view(dtype) for value in values]
    if kind == "bool":
        rows = [row != 0 for row in rows]
    same = all(len(row) == len(rows[0]) for row in rows)
    return np.stack(rows) if same else rows
