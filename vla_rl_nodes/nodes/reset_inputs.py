"""What the reset node hears: joints, gripper, filter and simulator, with how long ago."""

from __future__ import annotations

import threading
import time
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import JointState

from vla_rl_nodes.contract.decode import named_vector, stamp_ns
from vla_rl_nodes.episodes.reset.seen import FilterSeen, NamedState, Seen
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.nodes.complaints import Complaints
from vla_rl_nodes.nodes.event import Event, from_message
from vla_rl_nodes.nodes.qos import SENSOR, STREAM
from vla_rl_nodes.robots.model import Robot
from vla_rl_nodes.safety.status import Status

Array = NDArray[np.float64]

FILTER, STATE, REFERENCE = "safety/status", "sim/state", "safety/reference"
WIDTH = "gripper_width"
SILENT_NS = 500_000_000  # filter, gripper and simulator
SPEED_OVER_NS = 20_000_000  # positions this far apart tell a speed
KEPT = 200  # statuses of the filter between two looks


class _Heard(NamedTuple):
    at_ns: int  # on the monotonic clock
    message: Any


class ResetInputs:
    """Stores the newest message of each topic as bytes: a robot sends up to a thousand a second,
    and they are decoded only when somebody looks.

    Args:
        node: owns the subscriptions.
        robot: names of joints and topics.
        complaints: gets one line for each kind of bad message.
        silence_s: joint states older than this are not shown.
    """

    def __init__(self, node: Node, robot: Robot, complaints: Complaints, silence_s: float) -> None:
        self._robot, self._complaints = robot, complaints
        self._silence_ns = round(silence_s * 1e9)
        self._lock = threading.Lock()
        self._newest: dict[str, tuple[int, bytes]] = {}  # when, and what
        self._statuses: list[_Heard] = []
        self._said: tuple[int, Event] | None = None  # by the filter, the last time it spoke
        self._before: tuple[int, Array] | None = None  # stamp and joints that a speed counts from
        self._speed = 0.0
        topics = robot.topics
        self._gripper = topics.gripper_joint_states if robot.gripper is not None else None
        for topic, profile in (
            (topics.joint_states, SENSOR), (self._gripper, SENSOR), (STATE, STREAM),
            (None if self._gripper is None else REFERENCE, STREAM),
        ):  # fmt: skip
            if topic is not None:
                hear = partial(self._hear, topic)
                node.create_subscription(JointState, topic, hear, profile, raw=True)
        node.create_subscription(DiagnosticArray, FILTER, self._hear_filter, STREAM)

    def _hear(self, topic: str, message: bytes) -> None:
        with self._lock:
            self._newest[topic] = time.monotonic_ns(), message

    def _decoded(self, topic: str | None) -> _Heard | None:
        """The newest message of a topic; under the lock."""
        at_ns, data = self._newest.get(topic or "", (0, b""))
        return _Heard(at_ns, deserialize_message(data, JointState)) if data else None

    def _hear_filter(self, message: DiagnosticArray) -> None:
        with self._lock:
            self._statuses.append(_Heard(time.monotonic_ns(), message))
            del self._statuses[:-KEPT]

    def state_names(self) -> tuple[str, ...]:
        """The names of ``sim/state`` in their order; empty where none was heard."""
        with self._lock:
            heard = self._decoded(STATE)
        return () if heard is None else tuple(heard.message.name)

    def seen(self) -> Seen:
        """What there is now; the filter's reasons since this was asked last."""
        now = time.monotonic_ns()
        with self._lock:
            arm = self._decoded(self._robot.topics.joint_states)
            gripper, state = self._decoded(self._gripper), self._decoded(STATE)
            reference = self._decoded(REFERENCE)
            statuses, self._statuses = self._statuses, []
        joints = self._joints(arm, now)
        return Seen(
            now / 1e9,
            joints,
            self._speed,
            self._width(gripper, now),
            self._filter(statuses, now),
            self._state(state, now),
            self._opening(reference, now),
        )

    def _joints(self, heard: _Heard | None, now: int) -> Array | None:
        topic = self._robot.topics.joint_states
        positions = self._vector(heard, now, self._silence_ns, self._robot.joints, topic)
        if heard is None or positions is None:
            self._before = None
            return None
        stamp = stamp_ns(heard.message)
        if self._before is None or stamp < self._before[0]:
            self._before, self._speed = (stamp, positions), np.inf  # nobody knows yet
        elif stamp - self._before[0] >= SPEED_OVER_NS:
            seconds = (stamp - self._before[0]) / 1e9
            self._speed = float(np.abs(positions - self._before[1]).max()) / seconds
            self._before = stamp, positions
        return positions

    def _width(self, heard: _Heard | None, now: int) -> float | None:
        if self._robot.gripper is None or self._gripper is None:
            return None
        names = self._robot.gripper.joints
        fingers = self._vector(heard, now, SILENT_NS, names, self._gripper)
        return None if fingers is None else max(float(fingers.sum()), 0.0)

    def _opening(self, heard: _Heard | None, now: int) -> float | None:
        """To which the filter has sent the gripper; it does not say so while joints move."""
        if heard is None or WIDTH not in heard.message.name:
            return None
        width = self._vector(heard, now, SILENT_NS, [WIDTH], REFERENCE)
        return None if width is None else float(width[0])

    def _state(self, heard: _Heard | None, now: int) -> NamedState | None:
        names = [] if heard is None else list(heard.message.name)
        values = self._vector(heard, now, SILENT_NS, names, STATE)
        if heard is None or values is None:
            return None
        return NamedState(heard.at_ns / 1e9, dict(zip(names, values.tolist(), strict=True)))

    def _vector(
        self, heard: _Heard | None, now: int, oldest_ns: int, names: Any, topic: str
    ) -> Array | None:
        if heard is None or now - heard.at_ns > oldest_ns:
            return None
        try:
            return named_vector(heard.message, names, topic)
        except InputError as error:
            self._complaints.say(error)
            return None

    def _filter(self, statuses: list[_Heard], now: int) -> FilterSeen | None:
        reasons: set[str] = set()
        for heard in statuses:
            event = from_message(heard.message, FILTER, self._complaints)
            if event is not None:
                self._said = heard.at_ns, event
                reasons.update(filter(None, event.values.get("reasons", "").split(",")))
        if self._said is None or now - self._said[0] > SILENT_NS:
            return None
        last = self._said[1]
        source, note = last.values.get("source", ""), last.values.get("refused", "")
        latched = last.values.get("status") == str(int(Status.E_STOP))
        return FilterSeen(last.message, source, frozenset(reasons), note, latched)
