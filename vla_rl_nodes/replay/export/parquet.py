"""Parquet files from anywhere: what they claim is bounded before it is unpacked."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from vla_rl_nodes.errors import InputError

LARGEST_FILE = 1 << 34
MOST_ROWS = 1 << 24
MOST_VALUES = 1 << 28
LARGEST_COLUMN = 1 << 30
LARGEST_BATCH = 1 << 31
LARGEST_PICTURES = 1 << 32
LARGEST_TEXTS = 1 << 26
_REMEDY = "download the dataset again"


class ParquetInput:
    """An open file: its path, its schema and its rows."""

    def __init__(self, place: Path, file: Any) -> None:
        self.place = place
        self._file = file
        self.schema_arrow = file.schema_arrow
        self.rows = int(file.metadata.num_rows)

    def read(self, columns: Sequence[str], rows: tuple[int, int] | None = None) -> Any:
        """Columns of rows, or of all, as an Arrow table.

        Raises:
            InputError: a column is missing, the file has too few rows, or a part that would
                have to be unpacked is too large.
        """
        groups, skipped, start, stop = self._groups(columns, rows)
        table = self._file.read_row_groups(groups, columns=list(columns))
        if table.num_rows < skipped + stop - start:
            raise InputError(self.place, "has fewer rows than it claims", _REMEDY)
        return table.slice(skipped, stop - start)

    def batches(self, column: str, rows: tuple[int, int]) -> Iterator[Any]:
        """A column of rows, a few at a time.

        A value that is stored once and repeated by reference is small in the file and large when
        it is unpacked, so what a batch may come to is bounded by the size of the whole column.

        Raises:
            InputError: as :meth:`read`.
        """
        groups, skipped, start, stop = self._groups([column], rows)
        left = stop - start
        for number in groups:
            size = max(1, sum(p.total_uncompressed_size for p in self._parts(number, column)))
            count = max(1, min(1024, LARGEST_BATCH // size))
            group = self._file.iter_batches(count, row_groups=[number], columns=[column])
            for batch in group:
                part = batch.column(0).slice(skipped, left)
                skipped = max(0, skipped - batch.num_rows)
                left -= len(part)
                if len(part):
                    yield part
                if not left:
                    return
        raise InputError(self.place, "has fewer rows than it claims", _REMEDY)

    def _groups(
        self, columns: Sequence[str], rows: tuple[int, int] | None
    ) -> tuple[list[int], int, int, int]:
        """The groups of rows that hold what is wanted, the rows to be skipped in the first of
        them, and the first row and the one behind the last."""
        known = self.schema_arrow.names
        for name in columns:
            if known.count(name) != 1:
                raise InputError(self.place, f"has not one column '{name[:80]}'", _REMEDY)
        start, stop = rows or (0, self.rows)
        if not 0 <= start < stop <= self.rows:
            raise InputError(
                self.place, f"has {self.rows} rows, not those from {start} to {stop}", _REMEDY
            )
        if stop - start > MOST_ROWS:
            raise InputError(self.place, f"has more than {MOST_ROWS} rows to be read", _REMEDY)
        groups: list[int] = []
        skipped, at = 0, 0
        for number in range(self._file.metadata.num_row_groups):
            count = self._file.metadata.row_group(number).num_rows
            if at + count > start and at < stop:
                skipped = skipped if groups else start - at
                groups.append(number)
                self._bound(number, columns)
            at += count
        return groups, skipped, start, stop

    def _bound(self, number: int, columns: Sequence[str]) -> None:
        if self._file.metadata.row_group(number).num_rows > MOST_ROWS:
            raise InputError(self.place, "has a group of absurdly many rows", _REMEDY)
        for name in columns:
            # One row first: for a damaged description of the column that raises an error, where
            # asking for the description itself would end the process.
            next(self._file.iter_batches(1, row_groups=[number], columns=[name]), None)
            for column in self._parts(number, name):
                size = column.total_uncompressed_size
                if column.num_values > MOST_VALUES or not 0 <= size <= LARGEST_COLUMN:
                    raise InputError(
                        self.place, f"column '{name[:80]}' is absurdly large", _REMEDY
                    )

    def _parts(self, number: int, name: str) -> list[Any]:
        """The descriptions of a column's parts, such as an image's bytes and its path."""
        group, schema = self._file.metadata.row_group(number), self._file.schema
        wanted = [i for i in range(len(schema)) if _is_of(schema.column(i).path, name)]
        return [group.column(index) for index in wanted]


def _is_of(path: str, name: str) -> bool:
    return path == name or path.startswith(name + ".")


@contextmanager
def open_parquet(path: Path) -> Iterator[ParquetInput]:
    """A file that is closed afterwards.

    Raises:
        InputError: no Parquet file, too large, or damaged where the block reads it.
    """
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise InputError(path, "is larger than 16 GiB", _REMEDY)
        with pq.ParquetFile(path, memory_map=True, page_checksum_verification=True) as file:
            yield ParquetInput(path, file)
    except (pa.ArrowException, OSError, MemoryError, OverflowError, UnicodeError) as error:
        raise InputError(path, "is no whole Parquet file", _REMEDY) from error


def read_numbers(
    file: ParquetInput,
    names: Sequence[str],
    shapes: Sequence[tuple[int, ...]],
    rows: tuple[int, int] | None = None,
) -> dict[str, NDArray[Any]]:
    """Columns of numbers or flags, [n, *shape] each.

    Args:
        file: an open file.
        names: of the columns.
        shapes: of one row of each; () where a row is one number.
        rows: the first and the one behind the last; all of them where it is None.

    Raises:
        InputError: a column is missing, is not of numbers, or has another shape.
    """
    table = file.read(names, rows)
    found = {}
    for name, shape in zip(names, shapes, strict=True):
        values = table.column(name).combine_chunks()
        for size in shape:
            values = _flattened(values, size, file.place, name)
        numeric = (
            pa.types.is_integer(values.type)
            or pa.types.is_floating(values.type)
            or pa.types.is_boolean(values.type)
        )
        if not numeric or values.null_count:
            raise InputError(file.place, f"column '{name[:80]}' is not of numbers", _REMEDY)
        if len(values) != table.num_rows * math.prod(shape):
            raise InputError(file.place, f"column '{name[:80]}' has another shape", _REMEDY)
        array = values.to_numpy(zero_copy_only=False)
        found[name] = np.ascontiguousarray(array).reshape((table.num_rows, *shape))
    return found


def _flattened(values: Any, size: int, place: Path, name: str) -> Any:
    kind = values.type
    lists = pa.types.is_list(kind) or pa.types.is_large_list(kind)
    same = False
    if not values.null_count:
        if pa.types.is_fixed_size_list(kind):
            same = kind.list_size == size
        elif lists:
            same = bool((values.value_lengths().to_numpy(zero_copy_only=False) == size).all())
    if not same:
        raise InputError(place, f"column '{name[:80]}' has another shape", _REMEDY)
    return values.flatten()


def read_pictures(file: ParquetInput, name: str, rows: tuple[int, int]) -> list[bytes]:
    """The image files in a column of LeRobot's image type.

    Raises:
        InputError: the column is missing, an image is not in the file itself, or all together
            are absurdly large.
    """
    found: list[bytes] = []
    room = LARGEST_PICTURES
    for chunk in file.batches(name, rows):
        kind = chunk.type
        if not pa.types.is_struct(kind) or "bytes" not in [field.name for field in kind]:
            raise InputError(file.place, f"column '{name[:80]}' is not of images", _REMEDY)
        content = chunk.field("bytes")
        if not (pa.types.is_binary(content.type) or pa.types.is_large_binary(content.type)):
            raise InputError(file.place, f"column '{name[:80]}' is not of images", _REMEDY)
        if chunk.null_count or content.null_count:
            raise InputError(
                file.place, f"column '{name[:80]}' has images outside of the file", _REMEDY
            )
        files = content.to_pylist()
        room -= sum(map(len, files))
        if room < 0:
            raise InputError(file.place, f"column '{name[:80]}' is absurdly large", _REMEDY)
        found += files
    return found


def read_texts(file: ParquetInput, name: str, rows: tuple[int, int]) -> list[str]:
    """The words in a column of text.

    Raises:
        InputError: the column is missing, is not of text, or all together are absurdly large.
    """
    found: list[str] = []
    room = LARGEST_TEXTS
    for chunk in file.batches(name, rows):
        kind = chunk.type
        text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
        if not text or chunk.null_count:
            raise InputError(file.place, f"column '{name[:80]}' is not of text", _REMEDY)
        room -= chunk.nbytes
        if room < 0:
            raise InputError(file.place, f"column '{name[:80]}' is absurdly large", _REMEDY)
        found += chunk.to_pylist()
    return found
