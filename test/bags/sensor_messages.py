"""Random messages as CDR bytes, for the tests of the bags."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from rosbags.typesys import Stores, get_typestore

from vla_rl_nodes.bags.rosbag2 import Qos, Topic

STORE = get_typestore(Stores.ROS2_JAZZY)
TYPES = STORE.types
IMAGE = "sensor_msgs/msg/Image"
JOINTS = "sensor_msgs/msg/JointState"
EVENT = "diagnostic_msgs/msg/DiagnosticArray"
TOPICS = (
    Topic("/fr3/observation/images/scene", IMAGE, (Qos("best_effort"),)),
    Topic("/fr3/franka/joint_states", JOINTS, (Qos(), Qos(depth=1))),
    Topic("/fr3/episode/state", EVENT, (Qos(durability="transient_local", depth=1),)),
)
START_NS = 1_760_000_000_123_456_789


@dataclass(frozen=True)
class Sent:
    """The arguments of one call of ``EpisodeWriter.write``."""

    topic: str
    type_name: str
    cdr: bytes
    log_time_ns: int
    publish_time_ns: int


def header(stamp_ns: int, frame_id: str = "") -> object:
    stamp = TYPES["builtin_interfaces/msg/Time"](
        sec=stamp_ns // 1_000_000_000, nanosec=stamp_ns % 1_000_000_000
    )
    return TYPES["std_msgs/msg/Header"](stamp=stamp, frame_id=frame_id)


def cdr(message: object, type_name: str) -> bytes:
    return bytes(STORE.serialize_cdr(message, type_name))


def image(rng: np.random.Generator, stamp_ns: int, side: int = 64) -> bytes:
    pixels = rng.integers(0, 256, size=side * side * 3, dtype=np.uint8)
    message = TYPES[IMAGE](header(stamp_ns, "scene"), side, side, "rgb8", 0, 3 * side, pixels)
    return cdr(message, IMAGE)


def joints(rng: np.random.Generator, stamp_ns: int) -> bytes:
    names = [f"fr3_joint{i + 1}" for i in range(7)]
    position, velocity, effort = rng.normal(size=(3, 7))
    return cdr(TYPES[JOINTS](header(stamp_ns), names, position, velocity, effort), JOINTS)


def traffic(seed: int, seconds: float, side: int = 64) -> list[Sent]:
    """Images at 30 Hz and joint states at 250 Hz, with jitter and transport delay, as received.

    Every third message carries bytes behind its end, as rclpy's serialiser leaves them.
    """
    rng = np.random.default_rng(seed)
    sent = []
    for topic, make, rate in ((TOPICS[0], image, 30), (TOPICS[1], joints, 250)):
        for index in range(max(1, round(seconds * rate))):
            stamp = START_NS + round(1e9 * (index + rng.uniform(0, 0.8)) / rate)
            data = image(rng, stamp, side) if make is image else joints(rng, stamp)
            if index % 3 == 0:
                data += rng.bytes(int(rng.integers(1, 13)))
            received = stamp + int(rng.exponential(8e6))
            sent.append(Sent(topic.name, topic.type, data, received, stamp + 1000))
    return sorted(sent, key=lambda s: s.log_time_ns)
