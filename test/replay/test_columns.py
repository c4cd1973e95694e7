"""Samples made together are those that the contract's own code makes of each message."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bag_messages import STORE, VECTOR
from hypothesis import given, settings
from hypothesis import strategies as st
from mcap.writer import CompressionType, Writer

from vla_rl_nodes.bags.reader import COLUMNS, MESSAGES, EpisodeReader
from vla_rl_nodes.bags.rosbag2 import Topic
from vla_rl_nodes.bags.writer import EpisodeWriter
from vla_rl_nodes.contract.decode import stamp_ns
from vla_rl_nodes.contract.observation import sample
from vla_rl_nodes.contract.spec import Contract, Stream
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.replay.columns import sample_columns
from vla_rl_nodes.replay.observe import read_samples
from vla_rl_nodes.replay.recording import read_recording, replay_topics

from .episode_bag import image, make_episode, small_contract, vector

CONTRACT = small_contract()
IMAGES = CONTRACT.streams[0]
STATE = next(stream for stream in CONTRACT.streams if stream.key == "state")


def stored(path: Path, stream: Stream, messages: list[Any]) -> EpisodeReader:
    with path.open("wb") as file:
        writer = Writer(file, compression=CompressionType.NONE)
        writer.start(profile="ros2")
        schema = writer.register_schema(stream.type, "ros2msg", b"")
        channel = writer.register_channel(f"/fr3/{stream.topic}", "cdr", schema)
        for index, message in enumerate(messages):
            data = bytes(STORE.serialize_cdr(message, stream.type))
            writer.add_message(channel, index, data, index)
        writer.finish()  # type: ignore[no-untyped-call]
    return EpisodeReader(path, hold=lambda name: COLUMNS)


def check(reader: EpisodeReader, stream: Stream, together: bool) -> None:
    """What the two ways make of a bag; ``together`` says whether both must exist."""
    topic = f"/fr3/{stream.topic}"
    found = sample_columns(stream, reader.columns(topic))
    assert (found is not None) == together
    if found is None:
        return
    for (stamp, value, valid), entry in zip(
        zip(*found, strict=True), reader.messages(topic), strict=True
    ):
        assert stamp == stamp_ns(entry.message)
        try:
            expected = sample(stream, entry.message)
        except InputError:
            assert not valid
            continue
        assert valid and value.dtype == expected.dtype and value.shape == expected.shape
        assert value.tobytes() == expected.tobytes()


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    stamps=st.lists(st.integers(-(2**31) * 10**9, (2**31 - 1) * 10**9), min_size=1, max_size=5),
    padding=st.integers(0, 5),
    encoding=st.sampled_from(["rgb8", "bgr8"]),
)
def test_images(
    tmp_path_factory: pytest.TempPathFactory, seed: int, stamps: list[int], padding: int,
    encoding: str,
) -> None:  # fmt: skip
    rng = np.random.default_rng(seed)
    messages = []
    for stamp in stamps:
        pixels = rng.integers(0, 256, size=IMAGES.shape, dtype=np.uint8)
        message = image(stamp, pixels, padding)
        message.encoding = encoding
        messages.append(message)
    check(stored(tmp_path_factory.mktemp("c") / "x.mcap", IMAGES, messages), IMAGES, together=True)


VALUES = st.one_of(
    st.floats(width=64),
    st.sampled_from([np.nan, np.inf, -np.inf, 1e300, -1e39, 3.4028235e38, 3.4028236e38, 1e-46]),
)


@settings(max_examples=40, deadline=None)
@given(data=st.data(), count=st.integers(1, 6), extra=st.integers(0, 2))
def test_vectors(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, count: int, extra: int
) -> None:
    names = data.draw(st.permutations([*STATE.names, "one", "two"][: len(STATE.names) + extra]))
    rows = st.lists(VALUES, min_size=len(names), max_size=len(names))
    messages = [vector(i, names, data.draw(rows)) for i in range(count)]
    check(stored(tmp_path_factory.mktemp("c") / "x.mcap", STATE, messages), STATE, together=True)


def test_what_is_left_to_the_contract(tmp_path: Path) -> None:
    pixels = np.zeros(IMAGES.shape, dtype=np.uint8)
    grey, torn, sideways, small = (image(i, pixels) for i in range(4))
    grey.encoding = "mono8"
    torn.step -= 1
    sideways.height += 1
    small.width -= 1
    names = list(STATE.names)
    values = [0.0] * len(names)
    twice = vector(1, names[:-1] + names[:1], values)
    short = vector(1, names, values[:-1])
    other = vector(1, [*names[:-1], "x" * len(names[-1])], values)
    changing = [vector(1, names, values), vector(2, names[::-1], values)]
    for index, (stream, messages) in enumerate([
        (IMAGES, [grey]), (IMAGES, [torn]), (IMAGES, [sideways]), (IMAGES, [small]),
        (IMAGES, [image(1, pixels), grey]), (IMAGES, [image(1, pixels), image(2, pixels, 3)]),
        (STATE, [twice]), (STATE, [short]), (STATE, [other]), (STATE, changing),
    ]):  # fmt: skip
        check(stored(tmp_path / f"{index}.mcap", stream, messages), stream, together=False)


def tidy(seed: int, contract: Contract) -> Any:
    """An episode whose drivers always publish the same names and sizes, as real ones do."""
    episode = make_episode(seed, seconds=1.0, contract=contract)
    streams = {stream.topic: stream for stream in contract.streams}
    for message in list(episode.messages):
        stream = streams.get(message.topic)
        if stream is None:
            continue
        body = message.body
        if stream.kind == "image" and body.step != 3 * body.width:
            rows = body.data.reshape(body.height, body.step)[:, : 3 * body.width]
            body.data, body.step = np.ascontiguousarray(rows).reshape(-1), 3 * body.width
        elif message.type_name == VECTOR and len(body.name) > 1:
            order = np.argsort(body.name)
            body.name = [body.name[i] for i in order]
            body.position = np.ascontiguousarray(body.position[order])
    return episode


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("messy", [False, True])
def test_all_ways_give_the_same_samples_and_refusals(
    tmp_path: Path, seed: int, messy: bool
) -> None:
    episode = make_episode(seed, 1.0) if messy else tidy(seed, CONTRACT)
    if not messy:  # messages of another size would end the common layout
        wrong = {"nobody"}
        episode.messages = [
            m for m in episode.messages
            if set(getattr(m.body, "name", ())) != wrong and getattr(m.body, "width", 8) == 8
        ]  # fmt: skip
    bag = episode.write(tmp_path / "bag")
    one_pass = read_recording(EpisodeReader(bag, hold=replay_topics(CONTRACT)), CONTRACT)
    two_passes = read_recording(EpisodeReader(bag), CONTRACT)
    singly = read_recording(EpisodeReader(bag, hold=lambda topic: MESSAGES), CONTRACT)
    assert bool(one_pass.columns) != messy and not singly.columns
    if not messy:
        assert set(one_pass.columns) == {stream.topic for stream in CONTRACT.streams}
    expected = read_samples(singly, CONTRACT)
    for recording in (one_pass, two_passes):
        assert set(recording.columns) == set(one_pass.columns)
        found = read_samples(recording, CONTRACT)
        assert recording.refused == singly.refused
        for key, samples in expected.items():
            assert list(found[key].stamps) == list(samples.stamps)
            for stamp in samples.stamps:
                mine, theirs = found[key].at(stamp), samples.at(stamp)
                assert mine is not None and theirs is not None and mine.dtype == theirs.dtype
                assert mine.tobytes() == theirs.tobytes()
        for topic, messages in singly.messages.items():
            assert [repr(m) for m in recording.messages[topic]] == [repr(m) for m in messages]


def test_messages_of_a_wrong_type_are_counted_once(tmp_path: Path) -> None:
    episode = make_episode(5, seconds=1.0)
    bag = episode.write(tmp_path / "bag")
    whole = read_recording(EpisodeReader(bag), CONTRACT)
    assert not whole.refused
    topic = Topic(f"/fr3/{STATE.topic}", VECTOR)
    status = Topic("/fr3/policy/status", "diagnostic_msgs/msg/DiagnosticArray")
    with EpisodeWriter(
        tmp_path / "x", "ep", [topic, status], contract_yaml="", metadata={}, start_ns=0
    ) as writer:
        for index in range(4):
            data = bytes(STORE.serialize_cdr(vector(index, ["a"], [1.0]), VECTOR))
            writer.write(topic.name, topic.type, data[: 20 if index == 2 else None], index, index)
        writer.write(status.name, status.type, b"\0\1\0\0", 5, 5)
        writer.close("success")
    recording = read_recording(EpisodeReader(tmp_path / "x"), CONTRACT)
    assert recording.refused == {STATE.topic: 1, "policy/status": 1}
    assert len(recording.messages[STATE.topic]) == 3
    read_samples(recording, CONTRACT)
    assert recording.refused == {STATE.topic: 4, "policy/status": 1}
