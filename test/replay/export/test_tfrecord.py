"""The messages are read back by Protocol Buffers itself, from TensorFlow's published schema."""

from __future__ import annotations

import io
import struct
from typing import Any

import numpy as np
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from hypothesis import given, settings
from hypothesis import strategies as st

from vla_rl_nodes.replay.export.tfrecord import example, write_record


def example_class() -> Any:
    """tf.train.Example: features by name, each a list of bytes, floats or whole numbers."""
    file = descriptor_pb2.FileDescriptorProto(name="e.proto", package="t", syntax="proto3")
    kinds = descriptor_pb2.FieldDescriptorProto
    lists = (
        ("BytesList", kinds.TYPE_BYTES), ("FloatList", kinds.TYPE_FLOAT),
        ("Int64List", kinds.TYPE_INT64),
    )  # fmt: skip
    for name, kind in lists:
        message = file.message_type.add(name=name)
        message.field.add(name="value", number=1, label=kinds.LABEL_REPEATED, type=kind)
    feature = file.message_type.add(name="Feature")
    feature.oneof_decl.add(name="kind")
    for number, (name, _) in enumerate(lists, 1):
        feature.field.add(
            name=name.lower(), number=number, label=kinds.LABEL_OPTIONAL,
            type=kinds.TYPE_MESSAGE, type_name=f".t.{name}", oneof_index=0,
        )  # fmt: skip
    features = file.message_type.add(name="Features")
    entry = features.nested_type.add(name="FeatureEntry")
    entry.options.map_entry = True
    entry.field.add(name="key", number=1, label=kinds.LABEL_OPTIONAL, type=kinds.TYPE_STRING)
    entry.field.add(
        name="value", number=2, label=kinds.LABEL_OPTIONAL, type=kinds.TYPE_MESSAGE,
        type_name=".t.Feature",
    )  # fmt: skip
    features.field.add(
        name="feature", number=1, label=kinds.LABEL_REPEATED, type=kinds.TYPE_MESSAGE,
        type_name=".t.Features.FeatureEntry",
    )  # fmt: skip
    outer = file.message_type.add(name="Example")
    outer.field.add(
        name="features", number=1, label=kinds.LABEL_OPTIONAL, type=kinds.TYPE_MESSAGE,
        type_name=".t.Features",
    )  # fmt: skip
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("t.Example"))


EXAMPLE = example_class()


@settings(max_examples=100, deadline=None)
@given(
    st.dictionaries(
        st.text(min_size=1, max_size=200),
        st.one_of(
            st.lists(st.binary(max_size=300), max_size=4),
            st.lists(st.floats(width=32), max_size=40).map(lambda v: np.array(v, np.float32)),
            st.lists(st.integers(-(2**63), 2**63 - 1), max_size=9).map(
                lambda v: np.array(v, np.int64)
            ),
        ),
        max_size=6,
    )
)
def test_messages_are_those_of_protocol_buffers(values: dict[str, Any]) -> None:
    found = EXAMPLE.FromString(example(values)).features.feature
    assert set(found) == set(values)
    for name, value in values.items():
        if isinstance(value, list):
            assert list(found[name].byteslist.value) == value
        elif value.dtype == np.float32:
            read = np.array(found[name].floatlist.value, dtype=np.float32)
            np.testing.assert_array_equal(read, value)
        else:
            assert list(found[name].int64list.value) == value.tolist()


def test_flags_and_small_types_are_whole_numbers() -> None:
    data = example({"a": np.array([True, False]), "b": np.array([4_000_000_000], np.uint32)})
    found = EXAMPLE.FromString(data).features.feature
    assert list(found["a"].int64list.value) == [1, 0]
    assert list(found["b"].int64list.value) == [4_000_000_000]


def _crc32c(data: bytes) -> int:
    """Bit by bit, from the polynomial."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


@pytest.mark.parametrize("data", [b"", b"x", bytes(range(256)) * 3])
def test_records_carry_masked_checksums(data: bytes) -> None:
    file = io.BytesIO()
    assert write_record(file, data) == len(file.getvalue()) == len(data) + 16
    head, body, tail = file.getvalue()[:12], file.getvalue()[12:-4], file.getvalue()[-4:]
    assert body == data and struct.unpack("<Q", head[:8])[0] == len(data)
    for part, mask in ((head[:8], head[8:]), (data, tail)):
        crc = _crc32c(part)
        rotated = (crc >> 15) | (crc << 17 & 0xFFFFFFFF)
        assert struct.unpack("<I", mask)[0] == (rotated + 0xA282EAD8) % 2**32
