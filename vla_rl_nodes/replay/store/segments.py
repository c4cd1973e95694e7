"""Rows in files of a fixed size, which lie side by side in memory.

A segment is one file with room for so many rows of every column, column behind column, written
with ordinary writes and read through memory maps. A store grows by whole segments: no row ever
moves, and a finished segment is never written again. Each column's blocks of all segments are
mapped behind one another, so that it is one array, and drawing rows of it is one ``numpy.take``.
"""

from __future__ import annotations

import ctypes
import mmap
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.bags.durable import sync_folder
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.replay.store.journal import REMEDY
from vla_rl_nodes.replay.store.schema import Schema

FOLDER = "segments"
_MAP_FIXED = 0x10  # Linux on every processor that ROS 2 runs on; Python has no name for it
_HUGE_PAGE = 1 << 21
_FIRST_SEGMENTS = 16  # address room, which costs nothing until it is used


@dataclass(frozen=True)
class Column:
    """One array's place in a segment.

    Attributes:
        dtype: of a row's items; a structured one for the record.
        shape: of a row.
        offset: of the column's block in each file, bytes.
        block: its size, bytes.
    """

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    offset: int
    block: int

    @property
    def row_bytes(self) -> int:
        """Size of one row."""
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize


def columns_of(schema: Schema) -> dict[str, Column]:
    """Where each column stands in a segment."""
    kinds: dict[str, tuple[np.dtype[Any], tuple[int, ...]]] = {}
    for name in schema.wide:  # first: their blocks are of whole huge pages most of the time
        field = schema.fields[name]
        kinds[name] = (np.dtype(field.dtype), tuple(field.shape))
    kinds["record"] = (schema.record, ())
    kinds["flags"] = (np.dtype("<u8"), ())
    columns, offset = {}, 0
    for name, (dtype, shape) in kinds.items():
        column = Column(dtype, shape, offset, 0)
        block = schema.rows * column.row_bytes
        columns[name] = Column(dtype, shape, offset, block)
        offset += block
    return columns


class Segments:
    """The segment files of a store.

    Raises:
        InputError: the store's rows do not fit this machine's pages.
    """

    def __init__(self, folder: Path, schema: Schema) -> None:
        if schema.rows % mmap.PAGESIZE:
            raise InputError(
                folder.parent,
                f"has segments of {schema.rows} rows, here pages have {mmap.PAGESIZE} bytes",
                "make the store again on this machine",
            )
        self._folder = folder
        self._rows = schema.rows
        self._columns = columns_of(schema)
        self._size = sum(column.block for column in self._columns.values())
        self._mapped = 0
        self._room = 0
        self._spans: dict[str, _Span] = {}

    def write(self, row: int, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Writes consecutive rows and waits until they are on the disk.

        Args:
            row: where the first of them goes.
            arrays: an array for every column, equally long.

        Raises:
            OSError: the disk is full or fails; what was written counts for nothing.
        """
        total = len(arrays["flags"])
        done = 0
        while done < total:
            index, inside = divmod(row + done, self._rows)
            part = min(total - done, self._rows - inside)
            descriptor = self._open_to_write(index)
            try:
                for name, column in self._columns.items():
                    values = np.ascontiguousarray(
                        arrays[name][done : done + part], dtype=column.dtype
                    )
                    write_all(
                        descriptor, values.reshape(-1).view(np.uint8).data,
                        column.offset + inside * column.row_bytes,
                    )  # fmt: skip
                os.fdatasync(descriptor)
            finally:
                os.close(descriptor)
            done += part

    def arrays(self, rows: int) -> dict[str, NDArray[Any]]:
        """The columns as read-only arrays of so many rows.

        Raises:
            InputError: a segment is missing or has another size.
        """
        needed = -(-rows // self._rows)
        if needed > self._room:
            self._room = max(_FIRST_SEGMENTS, 2 * needed)
            self._mapped = 0  # arrays that were handed out keep the former spans
            self._spans = {n: _Span(c.block, self._room) for n, c in self._columns.items()}
        while self._mapped < needed:
            self._map(self._mapped)
            self._mapped += 1
        return {
            name: self._spans[name]
            .array[: rows * column.row_bytes]
            .view(column.dtype)
            .reshape(rows, *column.shape)
            for name, column in self._columns.items()
        }

    def path(self, row: int) -> Path:
        """The file that holds a row."""
        return self._path(row // self._rows)

    def _path(self, index: int) -> Path:
        return self._folder / f"{index:06d}.rows"

    def _open_to_write(self, index: int) -> int:
        path = self._path(index)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            if os.fstat(descriptor).st_size != self._size:
                os.ftruncate(descriptor, self._size)
                os.fsync(descriptor)
                sync_folder(self._folder)
        except OSError:
            os.close(descriptor)
            raise
        return descriptor

    def _map(self, index: int) -> None:
        path = self._path(index)
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            reason = (error.strerror or "unreadable").lower()
            raise InputError(path, f"cannot be read ({reason})", REMEDY) from error
        try:
            size = os.fstat(descriptor).st_size
            if size != self._size:
                # Reading behind the end of a mapped file would end the process.
                raise InputError(path, f"has {size} bytes, not {self._size}", REMEDY)
            for name, column in self._columns.items():
                self._spans[name].place(index, descriptor, column.offset)
        finally:
            os.close(descriptor)


class _Span:
    """A range of addresses in which blocks of files are mapped behind one another."""

    def __init__(self, block: int, blocks: int) -> None:
        # Without access and of no cost: it only keeps the addresses free for the blocks.
        reserved = mmap.mmap(
            -1, block * blocks + _HUGE_PAGE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, 0
        )
        whole = np.frombuffer(reserved, dtype=np.uint8)  # read-only, and owns the range
        # The system maps the files with huge pages only where both begin with one.
        begin = -whole.ctypes.data % _HUGE_PAGE
        self.array = whole[begin : begin + block * blocks]
        self._block = block

    def place(self, index: int, descriptor: int, offset: int) -> None:
        """Maps a block of a file, read-only; the mapping goes when the range goes."""
        wanted = self.array.ctypes.data + index * self._block
        found = _mmap(
            wanted, self._block, mmap.PROT_READ, mmap.MAP_SHARED | _MAP_FIXED, descriptor, offset
        )
        if found != wanted:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


_mmap = ctypes.CDLL(None, use_errno=True).mmap
_mmap.restype = ctypes.c_void_p
_mmap.argtypes = [
    ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long,
]  # fmt: skip


def write_all(descriptor: int, data: memoryview, offset: int) -> None:
    """Writes bytes at an offset of a file.

    Raises:
        OSError: not all of them could be written.
    """
    while data:
        written = os.pwrite(descriptor, data, offset)
        data, offset = data[written:], offset + written
