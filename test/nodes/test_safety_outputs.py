"""What the controllers are handed: one curve without seams, and nothing that goes on for ever."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.nodes.safety_outputs import CONTROLLERS, ControllerOutputs, PlanPath
from vla_rl_nodes.robots.load import load_robot
from vla_rl_nodes.robots.model import Robot
from vla_rl_nodes.safety.output import FilterOutput
from vla_rl_nodes.safety.reasons import NONE
from vla_rl_nodes.safety.state import State
from vla_rl_nodes.safety.status import Status
from vla_rl_nodes.safety.stop import Plan, Stopping, resting
from vla_rl_nodes.sim.controllers import JointController

FR3 = load_robot("fr3")
PICK = load_contract("franka_pick")
DT, PERIOD_NS = 0.01, 10_000_000


class Publisher:
    """Keeps what is published."""

    def __init__(self, topic: str) -> None:
        self.topic = topic
        self.messages: list[Any] = []

    def publish(self, message: Any) -> None:
        self.messages.append(message)


class Owner:
    """Stands in for the node that owns the publishers."""

    def __init__(self) -> None:
        self.made: dict[str, Publisher] = {}

    def create_publisher(self, kind: Any, topic: str, profile: Any) -> Publisher:
        self.made[topic] = Publisher(topic)
        return self.made[topic]


class Mover:
    """Plans as the filter makes them: one jerk a tick, then a stop; along the stop on a miss."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        self._stopping = Stopping(np.full(7, 10.0), np.full(7, 2000.0), DT)
        self.plan = resting(FR3.home)

    def tick(self, missed: int) -> Plan:
        self.plan = self.plan.after(missed)
        q, v, a = (rows[0] for rows in self.plan)
        end = np.clip(a + self._rng.uniform(-1500.0, 1500.0, 7) * DT, -8.0, 8.0)
        end = np.where(np.abs(v) > 1.0, -8.0 * np.sign(v), end)
        jerk = np.clip((end - a) / DT, -2000.0, 2000.0)
        q = q + DT * (v + DT * (a / 2 + DT * jerk / 6))
        v = v + DT * (a + DT * jerk / 2)
        self.plan = self._stopping.plan(q, v, a + DT * jerk)
        return self.plan


@given(
    st.integers(0, 2**32 - 1),
    st.integers(2, 4),
    st.lists(st.tuples(st.integers(0, 3), st.floats(0.0, 0.99)), min_size=2, max_size=25),
)
def test_the_controller_follows_the_decided_knots_without_a_seam(
    seed: int, ahead: int, ticks: list[tuple[int, float]]
) -> None:
    """Ticks are missed, and messages come almost as late as they may, never one before another:
    the controller notices none of it."""
    mover, path, controller = Mover(seed), PlanPath(ahead), JointController(7)
    controller.initialise(FR3.home)
    planned = now = 5.0
    for number, (missed, late) in enumerate(ticks):
        if number == 0:
            plan, missed = mover.plan, 0  # armed: at rest
        else:
            plan = mover.tick(missed)
            planned += (1 + missed) * DT
        knots, first = path.extend(plan, missed)
        now = max(now, planned + late * (ahead - 1) * DT)
        before = controller.held.state(now)
        times = (first + np.arange(len(knots.q))) * DT
        controller.command_trajectory(times, knots.q, knots.v, knots.a, planned, now)
        after = controller.held.state(now)
        np.testing.assert_allclose(after[0], before[0], atol=1e-12)
        np.testing.assert_allclose(after[1], before[1], atol=1e-9)
        np.testing.assert_allclose(after[2], before[2], atol=1e-6)
        # What was decided at this tick is commanded so many periods after it.
        decided = controller.sample(planned + ahead * DT)
        np.testing.assert_allclose(decided, plan.q[0], atol=1e-12)
    end = controller.sample(planned + 100.0)
    np.testing.assert_allclose(end, mover.plan.q[-1], atol=1e-12)


def test_a_path_that_begins_comes_from_where_the_robot_is() -> None:
    path = PlanPath()
    knots, first = path.extend(resting(FR3.home), 0)
    assert first == 1 and not knots.v.any()
    knots, first = path.extend(resting(FR3.home), 0)
    assert first == 0 and len(knots.q) == 3
    path.forget()
    knots, first = path.extend(resting(FR3.home + 0.1), 0)
    assert first == 1
    np.testing.assert_array_equal(knots.q, np.stack([FR3.home + 0.1] * 2))


def output(plan: Plan | None, twist: Any = None) -> FilterOutput:
    width = None if plan is None or twist is not None else 0.03
    return FilterOutput(plan, width, twist, State.ARMED, Status.NO_WARNING, NONE, NONE, (), None,
                        None, None)  # fmt: skip


def velocity_robot(timeout_s: float | None) -> Robot:
    topics = FR3.topics.model_copy(
        update={"velocity_command": "velocity/commands", "velocity_timeout_s": timeout_s}
    )
    return FR3.model_copy(update={"topics": topics})


def base() -> tuple[Robot, Contract]:
    robot = FR3.model_copy(
        update={"topics": FR3.topics.model_copy(update={"twist_command": "cmd_vel"})}
    )
    action = PICK.action.model_copy(update={"kind": "base_velocity"})
    return robot, PICK.model_copy(update={"action": action})


def test_a_trajectory_counts_from_the_planned_time() -> None:
    node = Owner()
    outputs = ControllerOutputs(node, FR3, PICK, "joint_trajectory", PERIOD_NS)
    mover = Mover(1)
    outputs.publish(output(mover.plan), 3_000_000_000, 3_004_000_000, 0)
    outputs.publish(output(mover.tick(0)), 3_010_000_000, 3_019_000_000, 0)
    messages = node.made[FR3.topics.trajectory_command or ""].messages
    stamps = [m.header.stamp.sec * 10**9 + m.header.stamp.nanosec for m in messages]
    assert stamps == [3_000_000_000, 3_010_000_000]
    points = messages[1].points
    assert [p.time_from_start.nanosec for p in points[:3]] == [0, PERIOD_NS, 2 * PERIOD_NS]
    assert list(points[2].positions) == mover.plan.q[0].tolist()
    assert list(points[2].velocities) == mover.plan.v[0].tolist()
    assert list(points[2].accelerations) == mover.plan.a[0].tolist()
    assert not np.any(points[-1].velocities)
    assert [m.data[0] for m in node.made[FR3.topics.gripper_command or ""].messages] == [0.03] * 2
    outputs.publish(output(None), 3_020_000_000, 3_020_000_000, 0)
    assert len(messages) == 2


def test_streams_take_the_first_knot() -> None:
    plan = Mover(2)
    plan.tick(0)
    for controller, topic, column in (
        ("forward_position", FR3.topics.position_command, plan.plan.q),
        ("forward_velocity", "velocity/commands", plan.plan.v),
    ):
        node = Owner()
        outputs = ControllerOutputs(node, velocity_robot(0.1), PICK, controller, PERIOD_NS)
        outputs.publish(output(plan.plan), 0, 0, 0)
        assert list(node.made[topic].messages[0].data) == column[0].tolist()
        assert FR3.topics.trajectory_command not in node.made


def test_a_base_gets_its_twist() -> None:
    node = Owner()
    robot, contract = base()
    outputs = ControllerOutputs(node, robot, contract, "twist", PERIOD_NS)
    twist = np.array([0.3, -0.1, 0.7])
    outputs.publish(output(resting(twist), twist), 2_000_000_000, 2_001_000_000, 0)
    message = node.made["cmd_vel"].messages[0]
    assert message.header.stamp.nanosec == 1_000_000
    given = message.twist.linear.x, message.twist.linear.y, message.twist.angular.z
    assert given == (0.3, -0.1, 0.7)


@pytest.mark.parametrize(
    ("robot", "contract", "controller", "problem"),
    [
        (FR3, PICK, "forward_velocity", "is no controller of fr3"),
        (velocity_robot(None), PICK, "forward_velocity", "goes on for ever"),
        (FR3, PICK, "twist", "give joint_trajectory or forward_position"),
        (FR3, PICK, "servo", "is no controller of fr3"),
        (*base(), "joint_trajectory", "give twist"),
        (load_robot("go2"), PICK, "joint_trajectory", "give forward_position"),
    ],
)
def test_a_controller_that_does_not_fit_is_refused(
    robot: Robot, contract: Contract, controller: str, problem: str
) -> None:
    node = Owner()
    with pytest.raises(InputError, match=problem) as caught:
        ControllerOutputs(node, robot, contract, controller, PERIOD_NS)
    assert "\n" not in str(caught.value)
    assert not node.made


def test_every_controller_is_reachable() -> None:
    for controller in CONTROLLERS:
        robot, contract = base() if controller == "twist" else (velocity_robot(0.1), PICK)
        node = Owner()
        ControllerOutputs(node, robot, contract, controller, PERIOD_NS)
        assert len(node.made) == 2  # the controller's and the gripper's
