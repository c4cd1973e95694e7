from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vla_rl_nodes.bags.schemas import decode, schema_text, type_hash
from vla_rl_nodes.errors import InputError

from .sensor_messages import EVENT, IMAGE, JOINTS, STORE, TYPES, header, image, joints


def test_messages_decode_with_and_without_bytes_behind_them() -> None:
    rng = np.random.default_rng(0)
    for type_name, data in ((IMAGE, image(rng, 5, 6)), (JOINTS, joints(rng, 1_500_000_000))):
        expected = STORE.deserialize_cdr(data, type_name)
        for tail in (b"", b"\0" * 8, b"\xff" * 76):
            got = decode(type_name, data + tail, "here")
            assert STORE.serialize_cdr(got, type_name) == data
            assert got.header == expected.header


def test_big_endian_messages_decode() -> None:
    message = TYPES[JOINTS](
        header(3_000_000_007, "f"), ["a", "bc"], np.array([1.5, -2.25]), np.zeros(0), np.ones(2)
    )
    data = bytes(STORE.serialize_cdr(message, JOINTS, little_endian=False))
    got = decode(JOINTS, data, "here")
    assert got.name == ["a", "bc"] and got.position.tolist() == [1.5, -2.25]
    assert (got.header.stamp.sec, got.header.stamp.nanosec) == (3, 7)


@pytest.mark.parametrize(
    "data", [b"", b"\0\1", b"\0\2\0\0abc", b"\1\1\0\0abc", b"\0\1\0\0", b"\0\1\0\0\1\2\3"]
)
def test_bytes_that_are_no_message_are_one_line(data: bytes) -> None:
    with pytest.raises(InputError, match=r"^/fr3/x: holds .*; record") as caught:
        decode(JOINTS, data, "/fr3/x")
    assert "\n" not in str(caught.value)


@given(st.binary(max_size=200), st.sampled_from([IMAGE, JOINTS, EVENT]), st.booleans())
@settings(max_examples=300, deadline=None)
def test_any_bytes_give_a_message_or_an_input_error(
    body: bytes, type_name: str, little: bool
) -> None:
    data = bytes([0, little, 0, 0]) + body
    try:
        outcome: object = decode(type_name, data, "x").header
    except InputError as error:
        outcome = error.place
    assert outcome == "x" or isinstance(outcome, TYPES["std_msgs/msg/Header"])


def test_unknown_type_is_named() -> None:
    for call in (schema_text, type_hash):
        with pytest.raises(InputError, match="my_msgs/msg/Foo: is no message type known here"):
            call("my_msgs/msg/Foo")


def test_schema_holds_the_nested_definitions() -> None:
    text = schema_text(EVENT)
    assert "MSG: diagnostic_msgs/DiagnosticStatus" in text and "MSG: std_msgs/Header" in text
    assert type_hash(EVENT).startswith("RIHS01_") and len(type_hash(EVENT)) == 71
