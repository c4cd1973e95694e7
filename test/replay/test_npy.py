from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.replay.episode import npy_bytes
from vla_rl_nodes.replay.npy import parse_npy

PLACE = Path("x.npy")
VALUES = np.arange(6, dtype=np.float32).reshape(2, 3)


def parsed(data: bytes, dtype: str = "<f4", shape: tuple[int, ...] = (2, 3)) -> np.ndarray:
    return parse_npy(data, dtype, shape, PLACE, "make it again")


def saved(array: np.ndarray, **options: bool) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("array", [VALUES, np.zeros((0, 4), dtype=np.int64), np.array([True])])
def test_what_numpy_saves_is_read(array: np.ndarray) -> None:
    got = parsed(npy_bytes(array), array.dtype.str, array.shape)
    assert got.dtype == array.dtype and got.shape == array.shape
    np.testing.assert_array_equal(got, array)
    got[...] = 1  # and it may be written to


@pytest.mark.parametrize(
    "array",
    [VALUES, VALUES.T, VALUES.astype(">f4"), np.zeros((0, 4)), np.arange(300_000) % 2 == 0],
)
def test_what_is_written_is_what_numpy_saves(array: np.ndarray) -> None:
    plain = np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<"))
    assert npy_bytes(array) == saved(plain)


def claims(shape: str, dtype: str = "<f4", order: str = "False") -> bytes:
    """A file that says whatever it likes of itself, and has six numbers."""
    text = f"{{'descr': '{dtype}', 'fortran_order': {order}, 'shape': {shape}, }}"
    text = text.ljust(117) + "\n"
    return (
        b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode() + VALUES.tobytes()
    )


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "is no array file"),
        (b"\x93NUMPY", "is no array file"),
        (b"\x93NUMPY\x09\x00" + bytes(100), "is no array file"),
        (npy_bytes(VALUES)[:-1], "of its size"),
        (npy_bytes(VALUES) + b"\0", "of its size"),
        (npy_bytes(VALUES.astype(np.float64)), r"holds <f8\[2, 3\], not <f4\[2, 3\]"),
        (npy_bytes(VALUES.T), r"holds <f4\[3, 2\]"),
        (saved(np.asfortranarray(VALUES)), "in C order"),
        (saved(VALUES.astype(">f4")), "holds >f4"),
        (saved(np.array([None, []], dtype=object), allow_pickle=True), "pickled objects"),
        (claims("(999999999999, 999999)"), r"holds <f4\[999999999999"),
        (claims("(-2, -3)"), r"holds <f4\[-2"),
        (claims("(2, 3", "|V"), "is no array file"),
        (claims("(2, 3)", order="1"), "is no array file"),
    ],
)
def test_anything_else_is_refused_in_one_line(data: bytes, said: str) -> None:
    with pytest.raises(InputError, match=f"x.npy: .*{said}.*; make it again") as caught:
        parsed(data)
    assert "\n" not in str(caught.value)


@settings(max_examples=300)
@given(st.data())
def test_a_damaged_header_is_refused_or_changes_nothing(data: st.DataObject) -> None:
    whole = bytearray(npy_bytes(VALUES))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, 127))] = data.draw(st.integers(0, 255))
    try:
        got = parsed(bytes(whole))
    except InputError:
        return
    np.testing.assert_array_equal(got, VALUES)
