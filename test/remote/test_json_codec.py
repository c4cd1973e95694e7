"""JSON with arrays: round trips, the double encoding, and only InputError for anything else."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.remote import json_codec

from .messages import LENGTHS, NUMBERS, SCALARS, assert_one_line, nested
from .test_msgpack_codec import assert_plain

ARRAYS = st.fixed_dictionaries(
    {"__numpy__": st.text() | st.sampled_from(["AAAAAA==", "AQ==", "AQI=", "A"]) | SCALARS,
     "dtype": NUMBERS | SCALARS, "shape": LENGTHS | SCALARS}
)  # fmt: skip


def harmless(data: bytes) -> None:
    for decode in (json_codec.decode, json_codec.decode_twice):
        try:
            assert_plain(decode("answer", data))
        except InputError as error:
            assert_one_line(error)


@given(st.binary(max_size=200) | st.text(max_size=100).map(lambda t: t.encode()))
def test_any_bytes(data: bytes) -> None:
    harmless(data)


@given(nested(SCALARS | ARRAYS))
def test_any_message(message: object) -> None:
    text = json.dumps(message)
    harmless(text.encode())
    harmless(json.dumps(text).encode())


@given(nested(SCALARS | ARRAYS), st.integers(0, 200), st.binary(min_size=1, max_size=3))
def test_any_damage(message: object, at: int, by: bytes) -> None:
    data = bytearray(json.dumps(message).encode())
    at %= len(data)
    data[at : at + len(by)] = by
    harmless(bytes(data))
    harmless(bytes(data[:at]))


@given(nested(st.none() | st.booleans() | st.integers() | st.text()))
def test_plain_messages_come_back(message: Any) -> None:
    assert json_codec.decode("answer", json_codec.encode(message)) == message


def test_arrays_come_back_through_both_encodings() -> None:
    sent = np.arange(6, dtype=np.float32).reshape(2, 3)
    once: Any = json_codec.decode("answer", json_codec.encode({"a": sent}))
    np.testing.assert_array_equal(once["a"], sent)
    outer: Any = json_codec.decode("request", json_codec.encode_twice({"a": sent}))
    assert list(outer) == ["encoded"]
    inner: Any = json_codec.decode("request", outer["encoded"].encode())
    np.testing.assert_array_equal(inner["a"], sent)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "no JSON"),
        (b"{", "no JSON"),
        (b"\xff", "no JSON"),
        (b"NaN", "the number NaN"),
        (b"[Infinity]", "the number Infinity"),
        (b"[1e999]", "beyond all bounds"),
        (b'{"a": 1, "a": 2}', "a key twice"),
        (b"[" * 100_000, "no JSON"),
        (b"[" * 10 + b"]" * 10, "deeper than 8"),
        (b"1" * 5000, "no JSON"),  # longer than Python reads
        (b'{"__numpy__": "AA", "dtype": "|u1", "shape": [1]}', "no base64"),
        (b'{"__numpy__": "A=A=", "dtype": "|u1", "shape": [1]}', "no base64"),
        (b'{"__numpy__": 1, "dtype": "|u1", "shape": [1]}', "no base64"),
        (b'{"__numpy__": "AAAAAAAAAAA=", "dtype": "|O", "shape": [1]}', "of type '|O'"),
        (b'{"__numpy__": "AA==", "dtype": "|u1", "shape": [2]}', "1 bytes for an array"),
    ],
)
def test_refusals(data: bytes, said: str) -> None:
    with pytest.raises(InputError) as caught:
        json_codec.decode("answer", data)
    assert said in str(caught.value)


def test_a_single_encoding_is_told_from_a_double_one() -> None:
    with pytest.raises(InputError, match="set double_encoded to false"):
        json_codec.decode_twice("answer", b"[1, 2]")


def test_only_finite_numbers_are_sent() -> None:
    with pytest.raises(ValueError):
        json_codec.encode({"a": float("nan")})
    with pytest.raises(TypeError):
        json_codec.encode({"a": np.array([object()])})
