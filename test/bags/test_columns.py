"""The arrays of a topic, by layout and one by one, against rosbags, element by element."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mcap.writer import CompressionType, Writer

from vla_rl_nodes.bags.columns import Columns
from vla_rl_nodes.bags.reader import COLUMNS, MESSAGES, EpisodeReader
from vla_rl_nodes.bags.schemas import schema_text
from vla_rl_nodes.errors import InputError

from .random_messages import random_message
from .sensor_messages import IMAGE, JOINTS, STORE, TYPES, header, joints

TYPE_NAMES = [
    IMAGE, JOINTS, "sensor_msgs/msg/Imu", "sensor_msgs/msg/CameraInfo", "sensor_msgs/msg/Joy",
    "sensor_msgs/msg/PointCloud2", "sensor_msgs/msg/BatteryState", "sensor_msgs/msg/JoyFeedback",
    "sensor_msgs/msg/CompressedImage", "nav_msgs/msg/Odometry", "nav_msgs/msg/Path",
    "geometry_msgs/msg/TwistStamped", "geometry_msgs/msg/PolygonStamped", "tf2_msgs/msg/TFMessage",
    "trajectory_msgs/msg/JointTrajectory", "trajectory_msgs/msg/MultiDOFJointTrajectory",
    "diagnostic_msgs/msg/DiagnosticArray", "std_msgs/msg/String", "std_msgs/msg/Empty",
    "std_msgs/msg/Bool", "std_msgs/msg/ByteMultiArray", "std_msgs/msg/Int16MultiArray",
    "std_msgs/msg/UInt64MultiArray", "visualization_msgs/msg/Marker",
]  # fmt: skip


def write(
    path: Path,
    type_name: str,
    messages: list[bytes],
    compression: CompressionType = CompressionType.NONE,
    chunked: bool = True,
    chunk_size: int = 4096,
) -> Path:
    with path.open("wb") as file:
        crc = len(messages) % 2 == 0
        writer = Writer(file, chunk_size, compression, use_chunking=chunked, enable_data_crcs=crc)
        writer.start(profile="ros2")
        schema = writer.register_schema(type_name, "ros2msg", schema_text(type_name).encode())
        channel = writer.register_channel("/t", "cdr", schema)
        other = writer.register_channel("/other", "cdr", schema)
        for index, data in enumerate(messages):
            writer.add_message(channel, 1000 + index, data, 500 + index)
            if index % 3 == 0:
                writer.add_message(other, 1000 + index, data, 500 + index)
        writer.finish()  # type: ignore[no-untyped-call]
    return path


def at(message: Any, path: str) -> Any:
    for name, index in re.findall(r"([^.\[\]]+)(?:\[(\d+)\])?", path):
        message = getattr(message, name)
        if index:
            message = message[int(index)]
    return message


def same(column_value: Any, value: Any) -> bool:
    if isinstance(value, str):
        return bool(column_value == value)
    if isinstance(column_value, tuple):
        return bool(column_value == tuple(value))
    if isinstance(column_value, list):
        return repr(column_value) == repr(list(value))
    mine, given = np.asarray(column_value), np.asarray(value)
    if given.dtype != mine.dtype and given.ndim == 0:
        given = given.astype(mine.dtype)
    return mine.dtype == given.dtype and mine.tobytes() == given.tobytes()


def paths_of(message: Any, prefix: str = "") -> set[str]:
    """Every field that is no message, found by walking over the message itself."""
    found: set[str] = set()
    for name, _ in STORE.fielddefs[message.__msgtype__][1]:
        value = getattr(message, name)
        if hasattr(value, "__dataclass_fields__"):
            found |= paths_of(value, f"{prefix}{name}.")
        elif isinstance(value, list) and value and hasattr(value[0], "__dataclass_fields__"):
            for index, item in enumerate(value):
                found |= paths_of(item, f"{prefix}{name}[{index}].")
        else:
            found.add(prefix + name)
    return found


def check(columns: Columns, messages: list[Any]) -> None:
    assert columns.log_ns.tolist() == list(range(1000, 1000 + len(messages)))
    assert columns.publish_ns.tolist() == list(range(500, 500 + len(messages)))
    for path, column in columns.fields.items():
        assert len(column) == len(messages)
        for index, message in enumerate(messages):
            assert same(column[index], at(message, path)), (path, index)


def equal_columns(one: Columns, two: Columns) -> None:
    assert set(one.fields) == set(two.fields)
    for path, column in one.fields.items():
        other = two.fields[path]
        assert type(column) is type(other), path
        if isinstance(column, np.ndarray):
            assert isinstance(other, np.ndarray) and column.dtype == other.dtype
            assert column.shape == other.shape and column.tobytes() == other.tobytes(), path
        else:
            assert repr(column) == repr(other)


@settings(max_examples=60, deadline=None)
@given(
    type_name=st.sampled_from(TYPE_NAMES),
    shape=st.integers(0, 2**32),
    seed=st.integers(0, 2**32),
    count=st.integers(1, 9),
    trailing=st.lists(st.integers(0, 76), min_size=9, max_size=9),
    compression=st.sampled_from(list(CompressionType)),
    chunked=st.booleans(),
)
def test_layout_single_messages_and_rosbags_agree(
    tmp_path_factory: pytest.TempPathFactory, type_name: str, shape: int, seed: int, count: int,
    trailing: list[int], compression: CompressionType, chunked: bool,
) -> None:  # fmt: skip
    values = np.random.default_rng(seed)
    messages = [
        random_message(type_name, np.random.default_rng(shape), values) for _ in range(count)
    ]
    plain = [bytes(STORE.serialize_cdr(m, type_name)) for m in messages]
    decoded = [STORE.deserialize_cdr(data, type_name) for data in plain]
    sent = [d + values.bytes(n) for d, n in zip(plain, trailing, strict=False)]
    path = tmp_path_factory.mktemp("c") / "x.mcap"
    write(path, type_name, sent, compression, chunked)
    fast = EpisodeReader(path, hold=lambda topic: COLUMNS).columns("/t")
    assert fast.layout is not None and fast.layout.size <= len(plain[0])
    later = EpisodeReader(path).columns("/t")
    slow = EpisodeReader(path, hold=lambda topic: MESSAGES).columns("/t")
    assert slow.layout is None
    for columns in (fast, later, slow):
        check(columns, decoded)
        assert set(columns.fields) == paths_of(decoded[0])
    equal_columns(fast, slow)
    big = [bytes(STORE.serialize_cdr(m, type_name, little_endian=False)) for m in messages]
    turned = EpisodeReader(write(path, type_name, big, compression, chunked)).columns("/t")
    assert turned.layout is None
    equal_columns(fast, turned)


@settings(max_examples=40, deadline=None)
@given(
    type_name=st.sampled_from(TYPE_NAMES),
    seed=st.integers(0, 2**32),
    runs=st.lists(st.tuples(st.integers(0, 2), st.integers(1, 40)), min_size=1, max_size=5),
)
def test_sizes_that_change_give_the_same_as_one_by_one(
    tmp_path_factory: pytest.TempPathFactory, type_name: str, seed: int,
    runs: list[tuple[int, int]],
) -> None:  # fmt: skip
    # Runs of equal layouts, so that a change comes within a chunk or some chunks later.
    values = np.random.default_rng(seed)
    messages = [
        random_message(type_name, np.random.default_rng([seed, shape]), values)
        for shape, length in runs
        for _ in range(length)
    ]
    sent = [bytes(STORE.serialize_cdr(m, type_name)) for m in messages]
    decoded = [STORE.deserialize_cdr(data, type_name) for data in sent]
    path = write(tmp_path_factory.mktemp("c") / "x.mcap", type_name, sent, chunk_size=600)
    fast = EpisodeReader(path, hold=lambda topic: COLUMNS).columns("/t")
    slow = EpisodeReader(path, hold=lambda topic: MESSAGES).columns("/t")
    equal_columns(fast, slow)
    for path_name, column in fast.fields.items():
        if not isinstance(column, list) or not any(isinstance(c, list) and c for c in column):
            for index, message in enumerate(decoded):
                assert same(column[index], at(message, path_name)), path_name


def names_only(names: list[str]) -> bytes:
    empty = np.zeros(0)
    message = TYPES[JOINTS](header(7), names, empty, empty, empty)
    return bytes(STORE.serialize_cdr(message, JOINTS))


@pytest.mark.parametrize("batches", [1, 30])
def test_lengths_that_change_inside_one_size_are_seen(tmp_path: Path, batches: int) -> None:
    # Both messages have as many bytes, but their texts lie elsewhere.
    first, second = names_only(["abc", "defgh"]), names_only(["abcde", "fgh"])
    assert len(first) == len(second)
    sent = [first] * (40 * batches) + [second]
    path = write(tmp_path / "x.mcap", JOINTS, sent)
    reader = EpisodeReader(path, hold=lambda topic: COLUMNS)
    columns = reader.columns("/t")
    assert columns.layout is None
    assert columns.fields["name"][-1] == ("abcde", "fgh")
    assert columns.fields["name"][-2] == ("abc", "defgh")
    assert list(reader.cdr("/t")) == sent


@pytest.mark.parametrize("last", [False, True])
def test_what_was_cut_off_with_a_wrong_layout_is_read_again(tmp_path: Path, last: bool) -> None:
    # The first message ends in spare bytes; another fills all of its size.
    first, longer, short = (names_only([name]) for name in ("abcde", "abcdefghijk", "a"))
    assert len(short) < len(first) < len(longer)
    spare = bytes(len(longer) - len(first))
    sent = [first + spare] * 600 + [longer] + [first + spare] * 300
    sent += [] if last else [short]
    path = write(tmp_path / "x.mcap", JOINTS, sent)
    reader = EpisodeReader(path, hold=lambda topic: COLUMNS)
    names = reader.columns("/t").fields["name"]
    assert list(names[599:602]) == [("abcde",), ("abcdefghijk",), ("abcde",)]
    assert list(reader.cdr("/t")) == sent


def test_the_same_bytes_come_back_from_rows_and_singly(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    sent = [joints(rng, 10**9 + i) for i in range(300)]
    path = write(tmp_path / "x.mcap", JOINTS, sent)
    for what in (COLUMNS, MESSAGES):
        reader = EpisodeReader(path, hold=lambda topic, what=what: what)
        assert list(reader.cdr("/t")) == sent
        assert reader.has_layout("/t") == (what == COLUMNS)
    assert EpisodeReader(path).columns("/t").stamps_ns.tolist() == [10**9 + i for i in range(300)]


def test_columns_are_not_to_be_written_to(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    path = write(tmp_path / "x.mcap", JOINTS, [joints(rng, i) for i in range(5)])
    position = EpisodeReader(path).columns("/t").fields["position"]
    assert isinstance(position, np.ndarray)
    with pytest.raises(ValueError, match="read-only"):
        position[0, 0] = 1.0


def test_messages_that_are_no_such_type_are_one_line(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    data = joints(rng, 5)
    wrong_text = bytearray(names_only(["abc"]))
    wrong_text[wrong_text.index(b"abc")] = 0xFF
    for sent, said in (
        ([data, data[:-40]], "holds bytes that are no"),
        ([bytes(wrong_text)] * 3, "holds bytes that are no"),
        ([b"\0\1\0\0"], "holds bytes that are no"),
        ([b""], "is not plain CDR"),
        ([b"\7\7\0\0" + data[4:]], "is not plain CDR"),
    ):
        path = write(tmp_path / "x.mcap", JOINTS, sent)
        for what in (COLUMNS, MESSAGES):
            with pytest.raises(InputError, match=said) as caught:
                EpisodeReader(path, hold=lambda topic, what=what: what).columns("/t")
            assert "\n" not in str(caught.value) and "x.mcap: /t" in str(caught.value.place)


def test_a_type_without_header_has_no_stamps(tmp_path: Path) -> None:
    message = TYPES["std_msgs/msg/String"]("x")
    sent = [bytes(STORE.serialize_cdr(message, "std_msgs/msg/String"))]
    columns = EpisodeReader(write(tmp_path / "x.mcap", "std_msgs/msg/String", sent)).columns("/t")
    with pytest.raises(InputError, match="has no header"):
        _ = columns.stamps_ns
