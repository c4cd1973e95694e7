"""A bag holds who was in command and what was switched, and reads it however it is offered."""

from __future__ import annotations

import io
from pathlib import Path

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
from vla_rl_nodes.nodes.topics import Recorded, recorded_topics
from vla_rl_nodes.robots.load import load_robot
from vla_rl_nodes.robots.model import Robot

PICK = load_contract("franka_pick")


def recorded(robot: Robot) -> dict[str, Recorded]:
    found = recorded_topics(PICK, robot)
    assert len({r.topic for r in found}) == len(found)
    return {r.topic: r for r in found}


@pytest.mark.parametrize(
    ("topic", "kind", "type_name"),
    [
        ("intervention/command", "stream", "sensor_msgs/msg/JointState"),
        ("intervention/active", "stream", "std_msgs/msg/Bool"),
        ("reset/command", "stream", "sensor_msgs/msg/JointState"),
        ("reset/active", "stream", "std_msgs/msg/Bool"),
        ("intervention/device", "stream", "sensor_msgs/msg/JointState"),
        ("intervention/status", "stream", "diagnostic_msgs/msg/DiagnosticArray"),
        ("reset/joints", "stream", "sensor_msgs/msg/JointState"),
        ("reset/executed", "stream", "sensor_msgs/msg/JointState"),
        ("reset/status", "latched", "diagnostic_msgs/msg/DiagnosticArray"),
        ("retry/request", "stream", "diagnostic_msgs/msg/DiagnosticArray"),
        ("success", "stream", "sensor_msgs/msg/JointState"),
        ("progress", "stream", "sensor_msgs/msg/JointState"),
        # Heartbeats may be offered best effort: only a best-effort reader hears those.
        ("safety/e_stop", "sensor", "std_msgs/msg/Bool"),
        ("operator/e_stop", "sensor", "std_msgs/msg/Bool"),
        ("safety/deadman", "sensor", "std_msgs/msg/Bool"),
    ],
)
def test_switches_and_sources_are_recorded(topic: str, kind: str, type_name: str) -> None:
    found = recorded(load_robot("fr3"))[topic]
    assert (found.kind, found.type_name) == (kind, type_name)


def test_every_controller_that_a_robot_has_is_recorded() -> None:
    robot = load_robot("fr3")
    names = {"velocity_command": "velocity/commands", "twist_command": "cmd_vel"}
    topics = recorded(robot.model_copy(update={"topics": robot.topics.model_copy(update=names)}))
    assert topics["velocity/commands"].type_name == "std_msgs/msg/Float64MultiArray"
    assert topics["cmd_vel"].type_name == "geometry_msgs/msg/TwistStamped"
    assert not set(names.values()) & set(recorded(robot))


def compressed() -> Contract:
    """The picking contract with cameras that compress."""
    data = PICK.model_dump()
    for stream in data["observation"]:
        if stream["source"] is not None:
            stream["source"]["type"] = COMPRESSED_IMAGE
    return Contract.model_validate(data)


@pytest.mark.parametrize(("contract", "kind"), [(PICK, IMAGE), (compressed(), COMPRESSED_IMAGE)])
def test_cameras_own_images_are_recorded_when_asked_for(contract: Contract, kind: str) -> None:
    robot = load_robot("fr3")
    plain = {r.topic for r in recorded_topics(contract, robot)}
    more = {r.topic: r for r in recorded_topics(contract, robot, camera_sources=True)}
    added = {topic: (r.type_name, r.kind) for topic, r in more.items() if topic not in plain}
    assert added == {
        "cameras/scene/image_raw": (kind, "sensor"), "cameras/wrist/image_raw": (kind, "sensor"),
    }  # fmt: skip


def test_a_contract_can_have_the_cameras_images_recorded_instead() -> None:
    data = compressed().model_dump()
    for stream in data["observation"]:
        if stream["source"] is not None:
            stream["source"]["record"] = "source"
    contract = Contract.model_validate(data)
    assert contract.sha256 == compressed().sha256  # the same steps
    topics = [r.topic for r in recorded_topics(contract, load_robot("fr3"))]
    assert len(set(topics)) == len(topics)
    assert {"cameras/scene/image_raw", "cameras/wrist/image_raw"} <= set(topics)
    assert not any(topic.startswith("observation/images") for topic in topics)
    more = [r.topic for r in recorded_topics(contract, load_robot("fr3"), camera_sources=True)]
    assert more == topics


def test_a_recorded_jpeg_gives_the_very_image_that_the_policy_saw(tmp_path: Path) -> None:
    """What camera_ingest does to a message live, it can do to the same bytes out of a bag."""
    store = get_typestore(Stores.ROS2_JAZZY)
    stream = compressed().streams[0]
    assert stream.source is not None
    rng = np.random.default_rng(3)
    topic = Topic("/fr3/cameras/scene/image_raw", COMPRESSED_IMAGE)
    seen, sent = [], []
    with EpisodeWriter(
        tmp_path / "ep", "ep", (topic,), contract_yaml="", metadata={}, start_ns=0
    ) as writer:
        for index in range(5):
            shape = (stream.source.height, stream.source.width, 3)
            packed = io.BytesIO()
            Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8)).save(packed, "JPEG")
            stamp = store.types["builtin_interfaces/msg/Time"](sec=1, nanosec=index)
            message = store.types[COMPRESSED_IMAGE](
                store.types["std_msgs/msg/Header"](stamp=stamp, frame_id="scene"), "jpeg",
                np.frombuffer(packed.getvalue(), dtype=np.uint8),
            )  # fmt: skip
            seen.append(transform_image(stream, compressed_image_array(message)))
            sent.append(bytes(store.serialize_cdr(message, COMPRESSED_IMAGE)))
            writer.write(topic.name, topic.type, sent[-1], index, index)
        writer.close("success")
    reader = EpisodeReader(tmp_path / "ep")
    assert [m.data for m in reader] == sent
    for decoded, expected in zip(reader.messages(topic.name), seen, strict=True):
        rebuilt = transform_image(stream, compressed_image_array(decoded.message))
        np.testing.assert_array_equal(rebuilt, expected)
