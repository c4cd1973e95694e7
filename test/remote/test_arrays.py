"""Arrays from untrusted parts."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.remote.arrays import array_from

SOME = hnp.arrays(
    dtype=st.sampled_from([np.dtype(t) for t in ("|b1", "|u1", "<i2", ">i4", "<f2", ">f8")]),
    shape=hnp.array_shapes(min_dims=0, max_dims=6, min_side=1, max_side=3),
)


@given(SOME)
def test_gives_back_what_was_taken_apart(array: np.ndarray[Any, Any]) -> None:
    found = array_from("x", array.tobytes(), array.dtype.str, list(array.shape))
    assert found.dtype == array.dtype.newbyteorder("=")
    assert found.dtype.isnative
    np.testing.assert_array_equal(found, array)


def test_is_a_copy_that_may_be_written() -> None:
    data = bytearray(b"\1\0\2\0")
    found = array_from("x", bytes(data), "<u2", [2])
    found[0] = 7
    assert found.tolist() == [7, 2]


@pytest.mark.parametrize(
    ("data", "dtype", "shape", "said"),
    [
        (b"\0" * 8, "|O", [1], "of type '|O'"),
        (b"\0" * 8, "object", [1], "of type 'object'"),
        (b"\0" * 8, "O8", [1], "of type 'O8'"),
        (b"\0" * 8, "<U2", [1], "of type '<U2'"),
        (b"\0" * 8, "|V8", [1], "of type '|V8'"),
        (b"\0" * 8, "<M8[s]", [1], "of type '<M8[s]'"),
        (b"\0" * 16, "<c16", [1], "of type '<c16'"),
        (b"\0" * 8, "i8,O", [1], "of type 'i8,O'"),
        (b"\0" * 8, ["<i4", "<i4"], [1], "of type (list)"),
        (b"\0" * 8, None, [1], "of type (NoneType)"),
        (b"\0" * 8, "<f4", [3], "8 bytes for an array <f4[3]"),
        (b"\0" * 8, "<f4", [1], "8 bytes"),
        (b"\0" * 8, "<f4", [-2], "of shape [-2]"),
        (b"", "<f4", [0, 2**62, 2**62], "of shape"),
        (b"\0" * 8, "<f4", [True, 2], "of shape"),
        (b"\0" * 8, "<f4", [2.0], "of shape"),
        (b"\0" * 8, "<f4", 2, "of shape"),
        (b"\0" * 8, "<f4", [2**80], "for an array"),
        (b"\0" * 8, "<f4", [1] * 7, "of shape"),
        (b"\0\2", "|b1", [2], "neither 0 nor 1"),
    ],
)
def test_refuses_what_is_no_array_of_numbers(
    data: bytes, dtype: object, shape: object, said: str
) -> None:
    with pytest.raises(InputError, match=re.escape(said)):
        array_from("answer", data, dtype, shape)


def test_a_long_text_does_not_fill_the_log() -> None:
    with pytest.raises(InputError) as caught:
        array_from("answer", b"", "x" * 100_000, [1])
    assert len(str(caught.value)) < 200
