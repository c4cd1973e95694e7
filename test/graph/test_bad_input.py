"""Hostile and broken messages to every node: no crash, no motion, one clear line each."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import Float64MultiArray
from trajectory_msgs.msg import JointTrajectory

from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.nodes.event import Event, to_message
from vla_rl_nodes.nodes.vector import trajectory_message, vector_message
from vla_rl_nodes.robots.load import load_robot

from .running import Graph, start

pytestmark = pytest.mark.graph

S = 1_000_000_000
ROBOT = load_robot("fr3")
AXES = load_contract("franka_pick").action.names
STATE = load_contract("franka_pick").streams[2].names
NAN, INF = math.nan, math.inf
STILL = 1e-3  # rad

Make = Callable[[int], Any]  # the present time in nanoseconds -> a message


@pytest.fixture(scope="module")
def running(folder: Path) -> Iterator[Graph]:
    """The graph with its policy; no episode runs unless a test starts one."""
    with start(folder) as whole:
        yield whole


def _image(width: int = 128, height: int = 96, encoding: str = "rgb8", cut: int = 0) -> Make:
    def make(now: int) -> Image:
        size = height * width * 3
        message = Image(height=height, width=width, step=3 * width, encoding=encoding)
        message.data = bytes(range(256)) * (size // 256) + bytes(size % 256)
        message.data = message.data[: size - cut]
        message.header.stamp = vector_message(now, [], []).header.stamp
        return message

    return make


def _shifted(make: Make, by_ns: int) -> Make:
    return lambda now: make(now + by_ns)


def _vector(names: tuple[str, ...], values: list[float], frame: str = "") -> Make:
    return lambda now: vector_message(now, names, values, frame)


def _joints(values: list[float], names: tuple[str, ...] = ROBOT.joints) -> Make:
    def make(now: int) -> JointState:
        message = vector_message(now, names, values)
        message.velocity = [0.0] * len(values)
        return message

    return make


def _floats(*values: float) -> Make:
    return lambda now: Float64MultiArray(data=list(values))


def _path(names: tuple[str, ...], rows: list[list[float]]) -> Make:
    return lambda now: trajectory_message(now, names, np.array(rows), 10_000_000)


def _event(name: str, message: str) -> Make:
    return lambda now: to_message(Event(name, message, {"episode_id": "x"}, stamp_ns=now))


HOME = ROBOT.home.tolist()
FAR = (ROBOT.home + 0.3).tolist()
TOPICS = ROBOT.topics
CASES: list[tuple[str, str, Make, str]] = [
    ("camera_ingest", "cameras/scene/image_raw", _image(10, 10), "the contract says 128x96"),
    ("camera_ingest", "cameras/scene/image_raw", _image(encoding="mono8"), "rgb8 or bgr8"),
    ("camera_ingest", "cameras/wrist/image_raw", _image(cut=5), "does not fit"),
    ("camera_ingest", "cameras/wrist/image_raw", _shifted(_image(), -S), "old on arrival"),
    ("camera_ingest", "cameras/wrist/image_raw", _shifted(_image(), S), "in the future"),
    ("proprio_ingest", TOPICS.joint_states, _joints([NAN] * 7), "is not finite"),
    ("proprio_ingest", TOPICS.joint_states, _joints([0.0] * 6, ROBOT.joints[:6]), "not among"),
    ("proprio_ingest", TOPICS.joint_states, _shifted(_joints(FAR), -S), "old on arrival"),
    ("proprio_ingest", TOPICS.joint_states, _shifted(_joints(FAR), S), "in the future"),
    ("proprio_ingest", TOPICS.gripper_joint_states or "",
     _joints([INF, 0.0], ("fr3_finger_joint1", "fr3_finger_joint2")), "is not finite"),
    ("safety_filter", TOPICS.joint_states, _joints([INF] * 7), "not finite"),
    ("safety_filter", TOPICS.joint_states, _joints([0.0] * 3, ROBOT.joints[:3]), "are expected"),
    ("safety_filter", TOPICS.joint_states, _shifted(_joints(FAR), S), "ahead of now"),
    ("safety_filter", TOPICS.joint_states, _shifted(_joints(FAR), -S), "are allowed"),
    ("safety_filter", "policy/command", _vector(AXES[::-1], [0.01] * 5), "another order"),
    ("safety_filter", "policy/command", _vector(AXES, [0.01] * 5), "no episode is running"),
    ("policy", "observation/state", _vector(STATE, [NAN] * 6), "is not finite"),
    ("policy", "observation/state", _vector(STATE[:2], [0.0] * 2), "not among its names"),
    ("policy", "observation/state", _shifted(_vector(STATE, [0.5] * 6), S), "in the future"),
    ("policy", "observation/images/scene", _image(), "the contract says [64, 64, 3]"),
    ("policy", "observation/images/wrist", _image(64, 64, cut=1), "does not fit"),
    ("policy", "episode/state", _event("episode", "flying"), "is no episode state"),
    ("recorder", "episode/state", _event("weather", "running"), "is no episode state"),
    ("episode", "reward", _vector(("reward", "success"), [1.0, NAN]), "is not finite"),
    ("episode", "reward", _vector(("reward",), [1.0]), "'success' is not among"),
    ("episode", "policy/status", lambda now: DiagnosticArray(), "holds 0 statuses"),
    ("episode", "safety/status",
     lambda now: DiagnosticArray(status=[DiagnosticStatus()] * 2), "holds 2 statuses"),
    ("sim_robot", TOPICS.position_command, _floats(*FAR[:3]), "has shape [3]"),
    ("sim_robot", TOPICS.position_command, _floats(*FAR[:6], NAN), "not finite"),
    ("sim_robot", TOPICS.trajectory_command or "", _path(AXES, [FAR[:5]]), "other joints"),
    ("sim_robot", TOPICS.trajectory_command or "", _path(ROBOT.joints, [[INF] * 7]), "finite"),
    ("sim_robot", TOPICS.trajectory_command or "",
     _shifted(_path(ROBOT.joints, [FAR]), -9 * S), "check stamps"),
    ("sim_robot", TOPICS.trajectory_command or "",
     _shifted(_path(ROBOT.joints, [FAR]), 9 * S), "check stamps"),
    ("sim_robot", TOPICS.trajectory_command or "", lambda now: JointTrajectory(
        joint_names=list(ROBOT.joints)), "holds no point"),
    ("sim_robot", TOPICS.gripper_command or "", _floats(NAN), "finite"),
    ("sim_robot", TOPICS.gripper_command or "", _floats(0.0, 0.0), "holds 2 values"),
    ("sim_cameras", "sim/state", _vector(("a", "b"), [0.0, 1.0]), "names another robot"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("node", "topic", "make", "said"),
    CASES,
    ids=[f"{c[0]}-{c[3]}".replace(" ", "_") for c in CASES],
)
def test_refused_in_one_line_without_motion(
    running: Graph, node: str, topic: str, make: Make, said: str
) -> None:
    joints = running.listen(JointState, TOPICS.joint_states)
    before = running.log(node).count("\n")

    def said_so() -> bool:
        return any(said in line for line in running.log(node).splitlines()[before:])

    def tried() -> bool:
        running.publish(topic, make(running.now_ns()))
        return said_so()

    # A flood of one kind is told once in five seconds, so an earlier case can have used it up.
    running.wait(tried, 12.0, f"'{said}' from {node}")
    running.processes.check()
    lines = [x for x in running.log(node).splitlines()[before:] if said in x]
    assert len(lines) <= 4
    assert "Traceback" not in running.log(node)
    heard = [m for _, m in list(joints) if list(m.velocity) != [0.0] * 7]  # the robot's own
    positions = np.array([m.position for m in heard if len(m.position) == 7])
    assert len(positions) == 0 or np.abs(positions - positions[0]).max() < STILL


def test_commands_in_a_running_episode(running: Graph) -> None:
    """The test takes the policy's place: bad commands move nothing, a good one does."""
    running.processes.kill("policy")
    driver = running.driver
    executed = running.listen(JointState, "safety/executed", sensor=False)
    joints = running.listen(JointState, TOPICS.joint_states)
    episode_id = ""

    def alive() -> None:
        event = Event("policy", "running", {"episode_id": episode_id}, "test", b"\x00",
                      running.now_ns())  # fmt: skip
        running.publish("policy/status", to_message(event))

    def started() -> bool:
        alive()
        return driver.state(episode_id) == "running"

    alive()  # finds its listeners before the episode counts the silence
    episode_id = driver.start_episode(seed=21)
    running.wait(started, 20.0, "running")
    start_q = np.array(joints[-1][1].position)
    for make, said in (
        (_vector(AXES, [NAN, 0.0, 0.0, 0.0, 0.08]), "not finite"),
        (_vector(AXES, [INF, 0.0, 0.0, 0.0, 0.08]), "not finite"),
        (_vector(AXES[:4], [0.01] * 4), "are expected"),
        (_vector(("a", "b", "c", "d", "e"), [0.01] * 5), "are expected"),
        (_shifted(_vector(AXES, [0.01, 0.0, 0.0, 0.0, 0.08]), -S), "old"),
        (_shifted(_vector(AXES, [0.01, 0.0, 0.0, 0.0, 0.08]), S), "ahead of now"),
    ):
        before = running.log("safety_filter").count("\n")
        running.publish("policy/command", make(running.now_ns()))

        def told(said: str = said, before: int = before) -> bool:
            alive()
            new = running.log("safety_filter").splitlines()[before:]
            old = running.log("safety_filter").splitlines()[:before]
            return any(said in x for x in new) or any("policy/command" in x and said in x
                                                      for x in old)  # fmt: skip

        running.wait(told, 5.0, said)
    assert not executed
    assert np.abs(np.array(joints[-1][1].position) - start_q).max() < STILL

    def moved() -> bool:
        alive()
        running.publish("policy/command", _vector(AXES, [0.0, 0.0, 0.02, 0.0, 0.08])(
            running.now_ns()))  # fmt: skip
        return bool(np.abs(np.array(joints[-1][1].position) - start_q).max() > 0.02)

    running.wait(moved, 5.0, "motion from a good command")
    assert executed
    driver.abort()
    driver.finish(episode_id, 21, 20.0)
