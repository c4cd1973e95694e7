"""Bags that hold what the cameras sent give the images that the policy saw."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from rosbags.typesys import Stores, get_typestore

from vla_rl_nodes.bags.reader import EpisodeReader
from vla_rl_nodes.bags.rosbag2 import Topic
from vla_rl_nodes.bags.writer import EpisodeWriter
from vla_rl_nodes.contract.decode import compressed_image_array
from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.contract.spec import COMPRESSED_IMAGE, IMAGE, Contract
from vla_rl_nodes.contract.transforms import transform_image
from vla_rl_nodes.replay.observe import read_samples
from vla_rl_nodes.replay.recording import read_recording, replay_topics

STORE = get_typestore(Stores.ROS2_JAZZY)
CAMERA, STATUS = "/fr3/cameras/scene/image_raw", "/fr3/policy/status"


def contract(kind: str) -> Contract:
    data = load_contract("franka_pick").model_dump()
    for stream in data["observation"]:
        if stream["source"] is not None:
            stream["source"] |= {"type": kind, "record": "source"}
    return Contract.model_validate(data)


def header(stamp: int) -> Any:
    time = STORE.types["builtin_interfaces/msg/Time"](sec=0, nanosec=stamp)
    return STORE.types["std_msgs/msg/Header"](stamp=time, frame_id="scene")


def message(kind: str, stamp: int, pixels: Any) -> Any:
    if kind == IMAGE:
        height, width, _ = pixels.shape
        return STORE.types[IMAGE](
            header(stamp), height, width, "rgb8", 0, 3 * width, pixels.reshape(-1)
        )
    packed = io.BytesIO()
    Image.fromarray(pixels).save(packed, "JPEG")
    data = np.frombuffer(packed.getvalue(), dtype=np.uint8)
    return STORE.types[COMPRESSED_IMAGE](header(stamp), "jpeg", data)


@pytest.mark.parametrize("kind", [IMAGE, COMPRESSED_IMAGE])
@pytest.mark.parametrize("hold", [False, True])
def test_images_of_the_camera(tmp_path: Path, kind: str, hold: bool) -> None:
    chosen, rng = contract(kind), np.random.default_rng(3)
    stream = chosen.streams[0]
    event = "diagnostic_msgs/msg/DiagnosticArray"
    topics = (Topic(CAMERA, kind), Topic(STATUS, event))
    expected = {}
    with EpisodeWriter(
        tmp_path / "ep", "ep", topics, contract_yaml="", metadata={}, start_ns=0
    ) as writer:
        status = STORE.types[event](header(1), [])
        writer.write(STATUS, event, bytes(STORE.serialize_cdr(status, event)), 0, 0)
        for index in range(1, 5):
            pixels = rng.integers(0, 256, (96, 128, 3), dtype=np.uint8)
            sent = message(kind, index, pixels)
            if kind == COMPRESSED_IMAGE:
                pixels = compressed_image_array(sent)
            expected[index] = transform_image(stream, pixels)
            writer.write(CAMERA, kind, bytes(STORE.serialize_cdr(sent, kind)), index, index)
        other = message(kind, 9, np.zeros((8, 8, 3), dtype=np.uint8))  # another size
        writer.write(CAMERA, kind, bytes(STORE.serialize_cdr(other, kind)), 9, 9)
        writer.close("success")
    reader = EpisodeReader(tmp_path / "ep", hold=replay_topics(chosen) if hold else None)
    recording = read_recording(reader, chosen)
    samples = read_samples(recording, chosen)[stream.key]
    assert list(samples.stamps) == list(expected)
    for stamp, image in expected.items():
        np.testing.assert_array_equal(samples.at(stamp), image)
    assert recording.refused[stream.topic] == 1
