"""``.npy`` files: written without a copy, and read from anywhere.

``numpy.load`` makes room for whatever shape a file claims to have; here shape and type are known
beforehand, and nothing else is accepted.
"""

from __future__ import annotations

import io
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from vla_rl_nodes.errors import InputError

_HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


def npy_parts(array: NDArray[Any]) -> tuple[bytes, NDArray[Any]]:
    """What stands in front of an array in its file, and the array as it stands there.

    Little-endian, in C order, plain values only; the array itself where it is so already.
    """
    little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    head = io.BytesIO()
    npy.write_array_header_1_0(head, npy.header_data_from_array_1_0(little))
    return head.getvalue(), little


def parse_npy(
    data: bytes, dtype: str, shape: tuple[int, ...], place: Path, remedy: str
) -> NDArray[Any]:
    """The array in the bytes of a file, which must have this type and shape.

    Args:
        data: the whole file.
        dtype: with byte order, such as ``<f4``.
        shape: of the array.
        place: the file's path, for the error.
        remedy: what to do about a wrong one, for the error.

    Raises:
        InputError: no array file in C order, another type or shape, or more or fewer bytes.
    """
    file = io.BytesIO(data)
    try:
        read = _HEADERS[npy.read_magic(file)]
        found, fortran, given = read(file)
    except (ValueError, KeyError, EOFError, SyntaxError, TokenError) as error:
        raise InputError(place, "is no array file", remedy) from error
    if given.hasobject:
        raise InputError(place, "is no array file: it holds pickled objects", remedy)
    if given.str != dtype or found != shape:
        raise InputError(
            place, f"holds {given.str}{list(found)}, not {dtype}{list(shape)}", remedy
        )
    size = int(np.prod(shape, dtype=np.int64)) * given.itemsize
    if fortran or len(data) - file.tell() != size:
        raise InputError(place, "is no array file of its size in C order", remedy)
    values: NDArray[Any] = np.frombuffer(data, dtype=given, offset=file.tell())
    return values.reshape(shape).copy()  # writable, and the bytes can go


def read_file(path: Path, largest: int, remedy: str) -> bytes:
    """A whole file of an expected size.

    Args:
        path: of the file.
        largest: size that it can have, bytes.
        remedy: what to do about a wrong one, for the error.

    Raises:
        InputError: it cannot be read, or is larger.
    """
    try:
        if path.stat().st_size > largest:
            raise InputError(path, "is larger than it can be", remedy)
        return path.read_bytes()
    except OSError as error:
        reason = (error.strerror or "unreadable").lower()
        raise InputError(path, f"cannot be read ({reason})", remedy) from error
