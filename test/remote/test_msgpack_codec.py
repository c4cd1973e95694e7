"""msgpack with arrays: round trips, and nothing but InputError for anything that comes."""

from __future__ import annotations

from typing import Any

import msgpack
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.remote import msgpack_codec

from .messages import LENGTHS, NUMBERS, SCALARS, assert_one_line, nested

ARRAYS = st.fixed_dictionaries(
    {b"__ndarray__": st.booleans() | st.just(1), b"data": st.binary(max_size=40) | SCALARS,
     b"dtype": NUMBERS | SCALARS, b"shape": LENGTHS | SCALARS}
)  # fmt: skip
GENERICS = st.fixed_dictionaries(
    {b"__npgeneric__": st.just(True), b"data": SCALARS | st.binary(), b"dtype": NUMBERS}
)


def harmless(data: bytes) -> None:
    """Decodes; only an InputError may come of it."""
    try:
        value = msgpack_codec.decode("answer", data)
    except InputError as error:
        assert_one_line(error)
    else:
        assert_plain(value)


def assert_plain(value: Any) -> None:
    """What came out is what Value promises."""
    if isinstance(value, list):
        for item in value:
            assert_plain(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            assert type(key) is str
            assert_plain(item)
    elif isinstance(value, np.ndarray):
        assert value.dtype.kind in "buif"
    else:
        assert value is None or type(value) in (bool, int, float, str)


@given(st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    harmless(data)


@given(nested(SCALARS | ARRAYS | GENERICS | st.binary(max_size=20)))
def test_any_message(message: object) -> None:
    harmless(msgpack.packb(message))


@given(nested(SCALARS | ARRAYS), st.integers(0, 200), st.binary(min_size=1, max_size=3))
def test_any_damage(message: object, at: int, by: bytes) -> None:
    data = bytearray(msgpack.packb(message))
    at %= len(data)
    data[at : at + len(by)] = by
    harmless(bytes(data))
    harmless(bytes(data[:at]))


@given(nested(st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text()))
def test_plain_messages_come_back(message: Any) -> None:
    assert msgpack_codec.decode("answer", msgpack_codec.encode(message)) == message


def test_arrays_come_back() -> None:
    sent = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": [np.array([True, False])]}
    found: Any = msgpack_codec.decode("answer", msgpack_codec.encode(sent))
    np.testing.assert_array_equal(found["a"], sent["a"])
    assert found["a"].dtype == np.float32
    assert found["b"][0].tolist() == [True, False]


def test_a_numpy_scalar_is_a_number() -> None:
    data = msgpack.packb({b"__npgeneric__": True, b"data": 2.5, b"dtype": "<f4"})
    assert msgpack_codec.decode("answer", data) == 2.5


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "no msgpack"),
        (b"\xc1", "no msgpack"),  # the byte that the specification never uses
        (b"\x01\x01", "no msgpack"),  # two objects
        (b"\x91" * 10 + b"\xc0", "deeper than 8"),
        (b"\x91" * 100_000 + b"\xc0", "no msgpack"),
        (b"\xdd\xff\xff\xff\xff", "no msgpack"),  # four thousand million items
        (b"\xdf\xff\xff\xff\xff", "no msgpack"),
        (b"\xd4\x01\x00", "no msgpack"),  # an extension type
        (b"\xd6\xff\x00\x00\x00\x00", "no msgpack"),  # a time stamp
        (b"\x81\x01\x02", "no msgpack"),  # a number as a key
        (b"\x81\xc4\x01a\x02", "keys are not text"),
        (b"\xa1\xff", "no msgpack"),  # a text that is not UTF-8
        (msgpack.packb(b"raw"), "of type bytes"),
        (msgpack.packb({b"__ndarray__": True, b"data": "text", b"dtype": "<f4", b"shape": [1]}),
         "without bytes"),
        (msgpack.packb({b"__ndarray__": True, b"data": b"\0" * 8, b"dtype": "|O", b"shape": [1]}),
         "of type '|O'"),
        (msgpack.packb({b"__npgeneric__": True, b"data": "x", b"dtype": "<f4"}), "no number"),
    ],
)  # fmt: skip
def test_refusals(data: bytes, said: str) -> None:
    with pytest.raises(InputError) as caught:
        msgpack_codec.decode("answer", data)
    assert said in str(caught.value)


@pytest.mark.parametrize("value", [np.array([object()]), np.array(["x"]), {1, 2}, np.float32])
def test_only_numbers_are_sent(value: Any) -> None:
    with pytest.raises(TypeError):
        msgpack_codec.encode({"a": value})
