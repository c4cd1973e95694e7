"""Actions of joints, of a mobile base and of a legged robot go through the same filter."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.robots.kinematics import Kinematics
from vla_rl_nodes.robots.load import load_robot
from vla_rl_nodes.robots.model import Robot
from vla_rl_nodes.safety.filter import FilterOutput, SafetyFilter
from vla_rl_nodes.safety.limits import SafetyLimits, load_limits
from vla_rl_nodes.safety.reasons import NONE, Reason
from vla_rl_nodes.safety.state import Instant, Source

MS = 1_000_000
NOW = 10**18
BASE = {
    "velocity": [1.0, 0.5, 1.0], "acceleration": [1.0, 1.0, 2.0], "jerk": [20.0, 20.0, 40.0],
    "timeout_s": 0.5,
}  # fmt: skip


def changed(model: Any, **keys: Any) -> Any:
    return type(model).model_validate({**model.model_dump(), **keys})


class Kind:
    """A filter for one kind of action; ``step`` is a filter tick with perfect tracking."""

    def __init__(
        self, robot: Robot, kind: str, axes: dict[str, tuple[str, float]], **limits: Any
    ) -> None:
        self.robot = robot
        franka = load_contract("franka_pick")
        action = {
            **franka.action.model_dump(),
            "kind": kind,
            "frame": robot.base_frame,
            "axes": [
                {"name": name, "unit": unit, "minimum": -most, "maximum": most}
                for name, (unit, most) in axes.items()
            ],
        }
        self.contract = changed(franka, robot=robot.name, action=action)
        shipped = load_limits("franka_pick" if robot.name == "fr3" else robot.name)
        self.limits: SafetyLimits = changed(
            shipped, residual_bound=dict.fromkeys(axes, 0.01), **limits
        )
        kinematics = Kinematics(robot)
        self.filter = SafetyFilter(robot, kinematics, self.contract, self.limits)
        self.now = Instant(NOW, 0)
        self.q = robot.home.copy()
        self.up = [0.0, 0.0, 1.0]
        self.outputs: list[FilterOutput] = []

    def hear(self) -> None:
        stamp = self.now.ros_ns
        self.filter.measured(stamp, self.now, self.robot.joints, list(self.q))
        self.filter.body(stamp, self.now, self.up)
        self.filter.wrench(stamp, self.now, [0.0, 1.0, 0.0], [0.0, 0.0, 0.0])

    def arm(self) -> Kind:
        self.hear()
        self.filter.arm(self.now, self.q, 0.04)
        return self

    def act(self, values: list[float]) -> FilterOutput:
        """One control period with a command; the output of its first tick."""
        names = self.contract.action.names
        assert self.filter.command(Source.POLICY, self.now.ros_ns, self.now, names, values) is None
        first = self.step()
        self.step(4)
        return first

    def step(self, ticks: int = 1) -> FilterOutput:
        for _ in range(ticks):
            output = self.filter.tick(self.now)
            self.outputs.append(output)
            if output.q_command is not None and output.twist is None:
                self.q = output.q_command
            self.now = Instant(self.now.ros_ns + 10 * MS, self.now.steady_ns + 10 * MS)
            self.hear()
        return output


def test_joint_positions_are_reached_and_said() -> None:
    robot = load_robot("fr3")
    axes = {name: ("rad", 3.0) for name in robot.joints} | {"gripper_width": ("m", 0.08)}
    kind = Kind(robot, "joint_position", axes).arm()
    goal = robot.home + np.array([0.02, -0.02, 0.02, 0.02, 0.02, -0.02, 0.05])
    for share in np.linspace(0.0, 1.0, 12):
        ease = share * share * (3.0 - 2.0 * share)
        output = kind.act([*(robot.home + ease * (goal - robot.home)), 0.03])
        assert output.executed is not None and output.executed.reasons == NONE
    kind.step(20)
    np.testing.assert_allclose(kind.q, goal, atol=1e-6)
    assert kind.filter.reference_names == (*robot.joints, "gripper_width")
    np.testing.assert_allclose(kind.outputs[-1].reference, [*goal, 0.03], atol=1e-9)


def test_a_base_is_driven_within_its_limits_and_stops() -> None:
    franka = load_robot("fr3")
    topics = {**franka.topics.model_dump(), "twist_command": "cmd_vel"}
    robot = changed(franka, mobile_base=BASE, topics=topics)
    axes = {"base_vx": ("m/s", 2.0), "base_vy": ("m/s", 2.0), "base_wz": ("rad/s", 2.0)}
    kind = Kind(robot, "base_velocity", axes, jerk_scale=0.5).arm()
    for _ in range(30):
        kind.act([2.0, -0.1, 0.3])
    scale = kind.limits.velocity_scale
    np.testing.assert_allclose(kind.outputs[-1].twist, [scale, -0.1, 0.3], atol=1e-6)
    assert kind.filter.reference_names == ("base_vx", "base_vy", "base_wz")
    assert kind.outputs[-1].gripper_width is None
    kind.filter.e_stop(True, kind.now)
    while kind.step().plan is not None:
        assert len(kind.outputs) < 400
    assert kind.outputs[-1].state == "faulted" and kind.outputs[-1].twist is None
    twists = np.array([[0.0, 0.0, 0.0]] + [o.twist for o in kind.outputs if o.twist is not None])
    np.testing.assert_array_equal(twists[-1], 0.0)
    change = np.abs(np.diff(twists, axis=0)) * 100
    assert (change <= np.array(BASE["acceleration"]) + 1e-9).all()
    jerk = np.abs(np.diff(twists, n=2, axis=0)) * 100**2
    assert (jerk <= 0.5 * np.array(BASE["jerk"]) + 1e-6).all()
    # Armed again it begins anew: its joints, not where it drove, are compared with the measured.
    kind.filter.e_stop(False, kind.now)
    kind.filter.reset_e_stop(kind.now)
    assert kind.arm().step().state == "armed"


def test_a_legged_robot_faults_when_it_tilts() -> None:
    robot = load_robot("go2")
    kind = Kind(robot, "joint_delta", {name: ("rad", 0.2) for name in robot.joints})
    with pytest.raises(InputError, match="body's orientation has not come"):
        kind.filter.arm(kind.now, kind.q, 0.0)
    kind.arm()
    for _ in range(6):
        output = kind.act([0.0, 0.01, -0.02] * 4)
        assert output.executed is not None and output.executed.reasons == NONE
    assert kind.limits.body is not None
    tilt = kind.limits.body.tilt_max + 0.01
    kind.up = [0.0, math.sin(tilt), math.cos(tilt)]
    kind.step(2)
    assert kind.outputs[-1].cause == Reason.BODY
    while kind.step().plan is not None:
        assert len(kind.outputs) < 100
    assert kind.outputs[-1].state == "faulted"
