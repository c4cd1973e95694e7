"""The planned and the executed way, as rviz gets them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nav_msgs.msg
import numpy as np
import pytest
from sensor_msgs.msg import JointState
from trajectory_msgs.msg import JointTrajectory

from vla_rl_nodes.bringup import NodeSpec
from vla_rl_nodes.contract.decode import stamp_ns
from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.nodes.qos import LATCHED, STREAM
from vla_rl_nodes.nodes.vector import trajectory_message, vector_message
from vla_rl_nodes.robots.kinematics import Kinematics
from vla_rl_nodes.robots.load import load_robot
from vla_rl_nodes.robots.tool_frame import yaw_from_rotation

from .running import CONTRACT, ROBOT, Graph, alone

pytestmark = pytest.mark.graph

PICK = load_contract(CONTRACT)
FR3 = load_robot(ROBOT)
ARM = Kinematics(FR3)
NAMES = ("tool_x", "tool_y", "tool_z", "tool_yaw", "gripper_width")
MS = 1_000_000


class Viewer:
    """Publishes as the graph does, and hears the paths."""

    def __init__(self, running: Graph) -> None:
        self.running, node = running, running.driver.node
        self._sends = {
            topic: node.create_publisher(kind, topic, STREAM)
            for topic, kind in (
                ("safety/reference", JointState), ("policy/chunk", JointTrajectory),
                (FR3.topics.joint_states, JointState),
            )
        }  # fmt: skip
        self.planned: list[Any] = []
        self.executed: list[Any] = []
        paths = nav_msgs.msg.Path
        node.create_subscription(paths, "view/planned", self.planned.append, LATCHED)
        node.create_subscription(paths, "view/executed", self.executed.append, LATCHED)
        running.wait(
            lambda: all(sends.get_subscription_count() for sends in self._sends.values()),
            20.0, "its listeners",
        )  # fmt: skip

    def send(self, topic: str, message: Any) -> None:
        self._sends[topic].publish(message)

    def reference(self, stamp: int, at: list[float]) -> None:
        self.send("safety/reference", vector_message(stamp, NAMES, at))

    def chunk(self, stamp: int, rows: Any, names: tuple[str, ...] = PICK.action.names) -> None:
        message = trajectory_message(stamp, names, np.asarray(rows), PICK.period_ns)
        self.send("policy/chunk", message)

    def joints(self, stamp: int, q: Any) -> None:
        self.send(FR3.topics.joint_states, vector_message(stamp, FR3.joints[: len(q)], q))


@pytest.fixture(scope="module")
def viewer(folder: Path) -> Iterator[Viewer]:
    with alone(folder, NodeSpec("motion_paths", {"contract": CONTRACT}), ROBOT) as running:
        yield Viewer(running)


def points(path: Any) -> np.ndarray[Any, Any]:
    return np.array([[p.pose.position.x, p.pose.position.y, p.pose.position.z]
                     for p in path.poses]).reshape(-1, 3)  # fmt: skip


def test_a_chunk_is_drawn_from_the_reference_of_its_tick(viewer: Viewer) -> None:
    running = viewer.running
    rows = np.random.default_rng(3).uniform(-0.02, 0.02, (16, 5))
    now = running.now_ns()
    tick = now - 100 * MS
    # The newest at or before the chunk's stamp counts, not the newest of all.
    for age, x in ((150, 0.1), (101, 0.4), (60, 0.9)):
        viewer.reference(now - age * MS, [x, -0.1, 0.3, 0.5, 0.04])

    def drawn() -> Any:
        viewer.chunk(tick, rows)  # again, until the references are there, too
        return next((m for m in viewer.planned if m.poses), None)

    path = running.wait(drawn, 10.0, "view/planned")
    expected = np.array([0.4, -0.1, 0.3]) + np.vstack([np.zeros(3), rows[:, :3].cumsum(axis=0)])
    np.testing.assert_allclose(points(path), expected, atol=1e-9)
    assert path.header.frame_id == FR3.base_frame and stamp_ns(path) == tick
    assert [stamp_ns(p) - tick for p in path.poses] == [n * PICK.period_ns for n in range(17)]
    assert {p.header.frame_id for p in path.poses} == {FR3.base_frame}
    turn = path.poses[0].pose.orientation
    x, y, z, w = turn.x, turn.y, turn.z, turn.w
    matrix = np.array([
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ])  # fmt: skip
    assert yaw_from_rotation(matrix) == pytest.approx(0.5)
    # When its last action is over it is taken away.
    running.wait(lambda: not viewer.planned[-1].poses, 5.0, "an empty path")


def test_what_cannot_be_drawn_is_said_once_and_not_drawn(viewer: Viewer) -> None:
    running = viewer.running
    heard = len(viewer.planned)
    rows = np.zeros((16, 5))
    now = running.now_ns()
    viewer.chunk(now, rows[:3])
    running.wait_for_line("motion_paths", "is no chunk of 16 actions of tool_x")
    viewer.chunk(now, rows, (*PICK.action.names[:4], "elbow"))
    viewer.chunk(now, np.full((16, 5), np.nan))
    running.wait_for_line("motion_paths", "policy/chunk: is not finite")
    viewer.chunk(now + 3_000 * MS, rows)  # there is no reference of that time
    running.wait_for_line("motion_paths", "there is no safety/reference of its time")
    viewer.send("safety/reference", JointState())
    running.wait_for_line("motion_paths", "safety/reference: 'tool_x' is not among its names")
    viewer.send("policy/chunk", JointTrajectory())
    assert not [m for m in viewer.planned[heard:] if m.poses]
    running.processes.check()


def test_the_executed_way_is_that_of_the_tool_thinned(viewer: Viewer) -> None:
    running = viewer.running
    q = FR3.home.copy()
    sent: dict[int, Any] = {}

    def moved() -> bool:
        stamp = running.now_ns()
        q[0] += 0.002
        sent[stamp] = q.copy()
        viewer.joints(stamp, q)
        return len(viewer.executed) > 12

    running.wait(moved, 20.0, "view/executed")
    path = viewer.executed[-1]
    assert path.header.frame_id == FR3.base_frame
    stamps = [stamp_ns(p) for p in path.poses]
    assert stamps == sorted(set(stamps)) and stamp_ns(path) == stamps[-1]
    assert 5 < len(stamps) < len(sent)
    expected = np.array([ARM.fk(sent[stamp]).position for stamp in stamps])
    np.testing.assert_allclose(points(path), expected, atol=1e-9)
    gaps = np.linalg.norm(np.diff(expected[:-1], axis=0), axis=1)
    assert gaps.min() >= 0.002
    # At most ten a second, by the stamps of their newest points.
    news = [stamp_ns(m) for m in viewer.executed]
    assert len(news) <= 10 * (news[-1] - news[0]) / 1e9 + 3

    def refused() -> bool:
        viewer.joints(running.now_ns(), FR3.home[:3])
        return "'fr3_joint4' is not among its names" in running.log("motion_paths")

    running.wait(refused, 5.0, "a complaint")
    running.processes.check()
