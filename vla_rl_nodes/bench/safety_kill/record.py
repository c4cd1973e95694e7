"""What the topics held during one trial: heard raw, sorted into plain arrays afterwards."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from numpy.typing import NDArray
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import Image, JointState
from trajectory_msgs.msg import JointTrajectory

from vla_rl_nodes.contract.decode import stamp_ns
from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.demo.curve import Trajectory, read_trajectory
from vla_rl_nodes.ingest.proprio import STATE_TOPIC
from vla_rl_nodes.nodes.driver import Driver
from vla_rl_nodes.nodes.qos import RECORD, RECORD_LATCHED, RECORD_SENSOR
from vla_rl_nodes.robots.model import Robot

Array = NDArray[np.float64]
Stamps = NDArray[np.int64]

FILTER, POLICY, EPISODE = "safety/status", "policy/status", "episode/state"
LONGEST = 60_000  # messages kept of a topic


class Said(NamedTuple):
    """A status as it was heard: when it was published, what it says, its values."""

    publish_ns: int
    message: str
    values: dict[str, str]


class Trace(NamedTuple):
    """One trial's record, times in ns on the clock that stamps messages.

    Attributes:
        joints_ns: capture stamps of the joint states [m], rising.
        q: measured positions [m, n], rad.
        v: measured speeds [m, n], rad/s.
        fingers_ns: capture stamps of the gripper's states [k], rising.
        fingers: measured positions of the finger joints [k, f], m.
        commands: messages to the arm's controller, in order of publication.
        unusable: publication times of messages that no controller should be given.
        filter: what the filter said.
        policy: what the policy said.
        episode: what the episode node said.
        held_ns: longest time from the writing of a message to its arrival, by process.
    """

    joints_ns: Stamps
    q: Array
    v: Array
    fingers_ns: Stamps
    fingers: Array
    commands: list[Trajectory]
    unusable: list[int]
    filter: list[Said]
    policy: list[Said]
    episode: list[Said]
    held_ns: dict[str, int]


class Ears:
    """Listens to the robot's topics through a driver's node, without a gap between two trials.

    Args:
        driver: owns the subscriptions.
        robot: names the topics.
        contract: names the streams that ingest gives.
    """

    def __init__(self, driver: Driver, robot: Robot, contract: Contract) -> None:
        self._robot = robot
        topics = robot.topics
        assert topics.trajectory_command is not None and robot.gripper is not None
        assert topics.gripper_joint_states is not None
        self._command, self._gripper = topics.trajectory_command, topics.gripper_joint_states
        self._held: Counter[str] = Counter()
        # What is latched may have been written long before.
        self._writers = {
            self._command: "safety_filter", FILTER: "safety_filter", POLICY: "policy",
            self._gripper: "sim_robot",
        }  # fmt: skip
        self._heard: dict[str, deque[tuple[int, bytes]]] = {}
        self.joints: deque[tuple[int, Any]] = deque(maxlen=LONGEST)
        self._node = driver.node
        self._listen(JointTrajectory, self._command, RECORD)
        self._listen(JointState, self._gripper, RECORD_SENSOR)
        for topic in (FILTER, POLICY):
            self._listen(DiagnosticArray, topic, RECORD)
        self._listen(DiagnosticArray, EPISODE, RECORD_LATCHED)
        self._node.create_subscription(
            JointState, topics.joint_states, self._hear_joints, RECORD_SENSOR
        )

        self._outputs = {"proprio_ingest": {STATE_TOPIC}, "safety_filter": {FILTER}}
        self._outputs["camera_ingest"] = {s.topic for s in contract.streams if s.kind == "image"}
        self.given: Counter[str] = Counter()
        for topic in self._outputs["camera_ingest"]:
            self._node.create_subscription(
                Image, topic, partial(self._count, topic), RECORD, raw=True
            )
        self._node.create_subscription(
            JointState, STATE_TOPIC, partial(self._count, STATE_TOPIC), RECORD, raw=True
        )

    def _count(self, topic: str, data: bytes) -> None:
        self.given[topic] += 1

    def given_by(self, victim: str) -> int:
        """How many messages a process has given on each topic of its own; the least of them."""
        return min((self.given[topic] for topic in self._outputs.get(victim, ())), default=0)

    def _listen(self, kind: type[Any], topic: str, profile: Any) -> None:
        self._heard[topic] = deque(maxlen=LONGEST)
        self._node.create_subscription(kind, topic, partial(self._hear, topic), profile, raw=True)

    def _hear(self, topic: str, data: bytes, info: dict[str, int]) -> None:
        now = self._node.get_clock().now().nanoseconds
        written = info.get("source_timestamp", 0) or now
        self.given[topic] += 1
        if topic in self._writers:
            self._hold(self._writers[topic], now - written)
        self._heard[topic].append((written, data))

    def _hold(self, process: str, held_ns: int) -> None:
        self._held[process] = max(self._held[process], held_ns)

    def _hear_joints(self, message: JointState) -> None:
        stamp = stamp_ns(message)
        self._hold("sim_robot", int(self._node.get_clock().now().nanoseconds) - stamp)
        self.joints.append((stamp, message))

    def speed(self) -> float:
        """Largest joint speed heard last, rad/s."""
        return float(np.abs(self.joints[-1][1].velocity).max()) if self.joints else 0.0

    def rest_since(self, after_ns: int, at_rest: float, lasting_ns: int) -> int | None:
        """Since when, after a time, no joint has been faster; None unless it has lasted."""
        since: int | None = None
        rows = list(self.joints)
        for stamp, message in reversed(rows):
            if stamp < after_ns or np.abs(message.velocity).max() >= at_rest:
                break
            since = stamp
        return since if since is not None and rows[-1][0] - since >= lasting_ns else None

    def take(self) -> Trace:
        """Everything since the last call, and begins anew."""
        joints, self.joints = self.joints, deque(maxlen=LONGEST)
        held, self._held = dict(self._held), Counter()
        raw = dict(self._heard)
        for topic in raw:
            self._heard[topic] = deque(maxlen=LONGEST)
        stamps, q, v = _rows(list(joints), self._robot.joints)
        gripper = [(at, deserialize_message(d, JointState)) for at, d in raw[self._gripper]]
        assert self._robot.gripper is not None
        fingers_ns, fingers, _ = _rows(
            [(stamp_ns(message), message) for _, message in gripper], self._robot.gripper.joints
        )
        commands, unusable = [], []
        for at, data in sorted(raw[self._command], key=_time):
            message = deserialize_message(data, JointTrajectory)
            command = read_trajectory(message, at, self._robot.joints)
            if command is None:
                unusable.append(at)
            else:
                commands.append(command)
        of_filter, of_policy, of_episode = (_said(raw[t]) for t in (FILTER, POLICY, EPISODE))
        return Trace(
            stamps, q, v, fingers_ns, fingers, commands, unusable,
            of_filter, of_policy, of_episode, held,
        )  # fmt: skip


def _time(entry: tuple[int, bytes]) -> int:
    return entry[0]


def _rows(heard: list[tuple[int, Any]], names: Sequence[str]) -> tuple[Stamps, Array, Array]:
    """Stamps [m], positions and velocities [m, n] of joint states, in order of their stamps."""
    rows = sorted(dict(heard).items())
    order = [list(message.name) for _, message in rows[:1]]
    columns = [order[0].index(name) for name in names] if order else []
    shape = (-1, len(names))
    q = np.array([message.position for _, message in rows]).reshape(len(rows), -1)[:, columns]
    v = np.array([message.velocity for _, message in rows]).reshape(len(rows), -1)[:, columns]
    stamps = np.array([stamp for stamp, _ in rows], dtype=np.int64)
    return stamps, q.reshape(shape), v.reshape(shape)


def _said(raw: Iterable[tuple[int, bytes]]) -> list[Said]:
    found = []
    for at, data in sorted(raw, key=_time):
        for status in deserialize_message(data, DiagnosticArray).status:
            values = {value.key: value.value for value in status.values}
            found.append(Said(at, status.message, values))
    return found
