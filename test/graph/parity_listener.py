"""A process of its own that writes down what a robot's topics carry, in its own way.

It shares no code with the recorder or the converter: rclpy deserialises the messages, and their
numbers are written as the bytes that they are. Lines of JSON go to a file; ``ready`` is printed
once every topic has a publisher and those that must speak have spoken. It ends when its standard
input does, and has then written everything.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
from array import array
from functools import partial
from typing import Any, TextIO

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.executors import ExternalShutdownException
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image, JointState
from trajectory_msgs.msg import JointTrajectory

KINDS = {kind.__name__: kind for kind in (Image, JointState, DiagnosticArray, JointTrajectory)}


def entry(message: Any) -> dict[str, Any]:
    """What a message says, with floats as the hexadecimal bytes of their doubles."""
    stamp = message.header.stamp
    said = {"stamp": stamp.sec * 10**9 + stamp.nanosec, "frame": message.header.frame_id}
    if isinstance(message, Image):
        return said | {
            "size": [message.height, message.width], "encoding": message.encoding,
            "step": message.step, "data": message.data.tobytes().hex(),
        }  # fmt: skip
    if isinstance(message, JointState):
        values = array("d", message.position).tobytes().hex()
        return said | {"names": list(message.name), "values": values}
    if isinstance(message, JointTrajectory):
        rows = [array("d", point.positions).tobytes().hex() for point in message.points]
        return said | {"names": list(message.joint_names), "rows": rows}
    status = message.status[0]
    values = {v.key: v.value for v in status.values}
    return said | {"says": status.message, "who": status.hardware_id, "of": values}


def listen(node: Any, topics: dict[str, tuple[str, bool]], log: TextIO) -> None:
    """Subscribes to everything; says when all is there."""
    silent = {topic for topic, (_, must_speak) in topics.items() if must_speak}

    def keep(topic: str, message: Any) -> None:
        log.write(json.dumps({"topic": topic, **entry(message)}) + "\n")
        silent.discard(topic)

    for topic, (kind, _) in topics.items():
        latched = topic.startswith("episode/")
        profile = QoSProfile(
            history=HistoryPolicy.KEEP_LAST, depth=2000, reliability=ReliabilityPolicy.RELIABLE,
            durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
        )  # fmt: skip
        node.create_subscription(KINDS[kind], topic, partial(keep, topic), profile)

    def ready() -> None:
        if not silent and all(node.count_publishers(topic) for topic in topics):
            print("ready", flush=True)
            timer.cancel()

    timer = node.create_timer(0.1, ready)


def spin(node: Any) -> None:
    """Until the context is shut down."""
    with contextlib.suppress(ExternalShutdownException):
        rclpy.spin(node)


def main() -> int:
    namespace, path, topics = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
    with contextlib.suppress(PermissionError):  # as the nodes that it listens to
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(10))
    rclpy.init(args=[])
    node = rclpy.create_node("parity_listener", namespace=namespace)
    with open(path, "w", encoding="utf-8", buffering=1) as log:
        listen(node, topics, log)
        spinning = threading.Thread(target=spin, args=(node,))
        spinning.start()
        sys.stdin.read()
        rclpy.shutdown()
        spinning.join()
    return 0


if __name__ == "__main__":
    sys.exit(main())
