"""What the operator's page hears: messages in, plain values onto its board."""

from __future__ import annotations

import threading
import time
from functools import partial
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import CompressedImage, Image, JointState
from trajectory_msgs.msg import JointTrajectory

from vla_rl_nodes.contract.decode import stamp_ns
from vla_rl_nodes.contract.spec import COMPRESSED_IMAGE, Contract, Stream
from vla_rl_nodes.nodes.complaints import Complaints
from vla_rl_nodes.nodes.event import from_message
from vla_rl_nodes.nodes.qos import LATCHED, SENSOR, STREAM
from vla_rl_nodes.operator.board import EVENTS, TRACED, VECTORS, Board
from vla_rl_nodes.operator.camera_pictures import Raw, refuse_large
from vla_rl_nodes.operator.page_settings import Pictures
from vla_rl_nodes.operator.said import Said

LATCHED_EVENTS = (
    "episode/state", "episode/label", "policy/bundle", "reset/status", "recorder/status",
    "replay_bridge/status",
)  # fmt: skip


class OperatorTopics:
    """Subscribes for the page.

    Args:
        node: owns the subscriptions.
        contract: names cameras and axes.
        board: gets what is heard.
        pictures: which pictures are shown.
        complaints: gets one line of each kind of bad message.
    """

    def __init__(
        self, node: Node, contract: Contract, board: Board, pictures: Pictures,
        complaints: Complaints,
    ) -> None:  # fmt: skip
        self._board, self._complaints = board, complaints
        for topic in EVENTS:
            profile = LATCHED if topic in LATCHED_EVENTS else STREAM
            node.create_subscription(
                DiagnosticArray, topic, partial(self._hear_event, topic), profile
            )
        for topic in (*TRACED, *VECTORS):
            # Of what is measured only the newest counts, so a lost one does not matter.
            profile = STREAM if topic in TRACED else SENSOR
            node.create_subscription(JointState, topic, partial(self._hear_vector, topic), profile)
        node.create_subscription(JointTrajectory, "policy/chunk", self._hear_chunk, STREAM)
        self.cameras = [s for s in contract.streams if s.kind == "image"]
        self._pictures = _Pictures(node, self.cameras, pictures)

    def picture(self, camera: int, known: int) -> Raw | None:
        """The newest picture of a camera, other than the known one; from any thread.

        Raises:
            InputError: it is too large.
        """
        return self._pictures.newest(camera, known)

    def _hear_event(self, topic: str, message: DiagnosticArray) -> None:
        event = from_message(message, topic, self._complaints)
        if event is not None:
            self._board.hear(
                topic,
                Said(
                    event.message, event.values, event.level[0], event.stamp_ns,
                    event.hardware_id, time.monotonic(),
                ),
            )  # fmt: skip

    def _hear_vector(self, topic: str, message: JointState) -> None:
        self._board.vector(
            topic, stamp_ns(message), message.name, message.position, time.monotonic()
        )

    def _hear_chunk(self, message: JointTrajectory) -> None:
        try:
            rows = np.array([point.positions for point in message.points], dtype=np.float64)
        except ValueError:
            self._complaints.say("policy/chunk: its rows have different lengths")
            return
        self._board.plan(stamp_ns(message), message.joint_names, rows)


class _Pictures:
    """Keeps each camera's newest message as bytes: it is read only when somebody looks."""

    def __init__(self, node: Node, cameras: list[Stream], settings: Pictures) -> None:
        self._lock = threading.Lock()
        self._newest: dict[int, tuple[int, bytes, type[Any]]] = {}
        for camera, stream in enumerate(cameras):
            topic, kind = stream.topic, Image
            if settings.show == "source" and stream.source is not None:
                topic = stream.source.topic
                kind = CompressedImage if stream.source.type == COMPRESSED_IMAGE else Image
            node.create_subscription(
                kind, topic, partial(self._keep, camera, kind), SENSOR, raw=True
            )

    def _keep(self, camera: int, kind: type[Any], data: bytes) -> None:
        with self._lock:
            number = self._newest[camera][0] + 1 if camera in self._newest else 1
            self._newest[camera] = number, data, kind

    def newest(self, camera: int, known: int) -> Raw | None:
        """The newest picture of a camera, other than the known one."""
        with self._lock:
            kept = self._newest.get(camera)
        if kept is None or kept[0] == known:
            return None
        number, data, kind = kept
        if kind is Image:
            refuse_large(len(data))
        message = deserialize_message(data, kind)
        if kind is CompressedImage:
            return Raw(number, stamp_ns(message), bytes(message.data))
        return Raw(
            number, stamp_ns(message), bytes(message.data), message.encoding, message.width,
            message.height, message.step,
        )  # fmt: skip
