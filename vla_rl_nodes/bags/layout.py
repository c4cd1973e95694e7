"""Where the fields of a message type lie in its CDR bytes, for messages of one constant size."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

from rosbags.interfaces import Nodetype
from rosbags.typesys.base import TypesysError

from vla_rl_nodes.bags.schemas import typestore

HEADER = 4  # the CDR encapsulation header
MOST_ITEMS = 64  # longer sequences of messages are not spread into fields
_MOST_TEXTS = 1024
_MOST_LEAVES = 2048
_DEEPEST = 32
_PLAIN_LITTLE_ENDIAN = b"\x00\x01"

# CDR's names of numbers; a byte is signed as in rosbags, a bool is any byte but 0.
NUMBERS = {
    "bool": "u1", "byte": "i1", "char": "u1", "int8": "i1", "uint8": "u1", "int16": "i2",
    "uint16": "u2", "int32": "i4", "uint32": "u4", "int64": "i8", "uint64": "u8",
    "float32": "f4", "float64": "f8",
}  # fmt: skip


@dataclass(frozen=True)
class Numbers:
    """A number, or with ``count`` so many, at an offset behind the encapsulation header."""

    path: str
    kind: str
    offset: int
    count: int | None


@dataclass(frozen=True)
class Texts:
    """A text, or with ``several`` a sequence of them: offset and bytes of each."""

    path: str
    spans: tuple[tuple[int, int], ...]
    several: bool


@dataclass(frozen=True)
class Empty:
    """A sequence of messages that has none."""

    path: str


Leaf = Numbers | Texts | Empty


@dataclass(frozen=True)
class Layout:
    """The fields of messages that have the same sizes everywhere.

    Attributes:
        type_name: such as ``sensor_msgs/msg/Image``.
        size: bytes of the message behind the encapsulation header; more may follow it.
        leaves: in the order of the definition.
        fixed: what makes the layout, the same in every message: the encapsulation, the lengths
            and the ends of the texts, each as offset from the encapsulation header on, NumPy type
            and value.
    """

    type_name: str
    size: int
    leaves: tuple[Leaf, ...]
    fixed: tuple[tuple[int, str, int], ...]


def layout_of(type_name: str, cdr: bytes | memoryview) -> Layout | None:
    """The layout that one message shows.

    None where there is none to be used: big-endian or damaged bytes, an unknown type, or a
    message that falls into thousands of fields.
    """
    if bytes(cdr[:2]) != _PLAIN_LITTLE_ENDIAN or len(cdr) < HEADER:
        return None
    deriver = _Deriver(memoryview(cdr)[HEADER:])
    try:
        deriver.message("", type_name)
    except (_NoLayoutError, struct.error, TypesysError, KeyError):
        return None
    encapsulation = (0, "<u2", int.from_bytes(_PLAIN_LITTLE_ENDIAN, "little"))
    fixed = (encapsulation, *deriver.fixed)
    return Layout(type_name, deriver.at, tuple(deriver.leaves), fixed)


def fields_of(type_name: str) -> list[tuple[str, tuple[Nodetype, Any]]]:
    """Names and descriptions of a type's fields, as rosbags has them.

    Raises:
        KeyError: an unknown type.
    """
    fields: list[tuple[str, tuple[Nodetype, Any]]] = typestore().get_msgdef(type_name).fields
    return fields


class _NoLayoutError(Exception):
    """The message cannot be read by offsets."""


class _Deriver:
    """Walks one message along its definition and notes where everything lies."""

    def __init__(self, data: memoryview) -> None:
        self._data = data
        self.at = 0
        self.leaves: list[Leaf] = []
        self.fixed: list[tuple[int, str, int]] = []

    def message(self, prefix: str, type_name: str) -> None:
        if prefix.count(".") > _DEEPEST:
            raise _NoLayoutError
        for name, (node, description) in fields_of(type_name):
            self._field(f"{prefix}{name}", node, description)
        if len(self.leaves) > _MOST_LEAVES:
            raise _NoLayoutError

    def _field(self, path: str, node: Nodetype, description: Any) -> None:
        if node == Nodetype.BASE:
            self._items(path, description[0], None)
        elif node == Nodetype.NAME:
            self.message(f"{path}.", description)
        else:
            (inner, name), count = description
            if node == Nodetype.SEQUENCE:
                count = self._length()
            if inner == Nodetype.BASE:
                self._items(path, name[0], count)
                return
            if count > MOST_ITEMS:
                raise _NoLayoutError
            if count == 0:
                self.leaves.append(Empty(path))
            for index in range(count):
                self.message(f"{path}[{index}].", name)

    def _items(self, path: str, kind: str, count: int | None) -> None:
        number = 1 if count is None else count
        if kind == "string":
            if number > _MOST_TEXTS:
                raise _NoLayoutError
            spans = tuple(self._text() for _ in range(number))
            self.leaves.append(Texts(path, spans, count is not None))
            return
        if kind not in NUMBERS:
            raise _NoLayoutError
        width = int(NUMBERS[kind][1:])
        if number:
            self._align(width)
        self.leaves.append(Numbers(path, kind, self.at, count))
        self._advance(width * number)

    def _text(self) -> tuple[int, int]:
        length = self._length()
        start = self.at
        self._advance(length)
        if length < 1 or self._data[self.at - 1] != 0:
            raise _NoLayoutError
        self.fixed.append((HEADER + self.at - 1, "u1", 0))
        return start, length - 1

    def _length(self) -> int:
        self._align(4)
        (length,) = struct.unpack_from("<I", self._data, self.at)
        self.fixed.append((HEADER + self.at, "<u4", length))
        self._advance(4)
        return int(length)

    def _align(self, width: int) -> None:
        self.at = -(-self.at // width) * width

    def _advance(self, size: int) -> None:
        self.at += size
        if self.at > len(self._data):
            raise _NoLayoutError
