"""A reset commands joints: from rest, through every limit, and back to the contract's actions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.robots.kinematics import Kinematics
from vla_rl_nodes.robots.load import load_robot
from vla_rl_nodes.safety.filter import FilterOutput, SafetyFilter
from vla_rl_nodes.safety.inputs import Refusal
from vla_rl_nodes.safety.limits import load_limits
from vla_rl_nodes.safety.reasons import Reason
from vla_rl_nodes.safety.state import Instant, Source, State

MS = 1_000_000
PERIOD_TICKS = 5
OPEN = 0.08


class Rig:
    """The real filter of the cube task with perfect tracking; ``period`` is a control period."""

    robot = load_robot("fr3")
    contract = load_contract("franka_pick")

    def __init__(self, **limits: Any) -> None:
        loaded = load_limits("franka_pick").model_copy(update={"wrench": None, **limits})
        self.kinematics = Kinematics(self.robot)
        self.filter = SafetyFilter(self.robot, self.kinematics, self.contract, loaded)
        self.now = Instant(10**18, 0)
        self.q = self.robot.home.copy()
        self.outputs: list[FilterOutput] = []

    def hear(self) -> None:
        self.filter.measured(self.now.ros_ns, self.now, self.robot.joints, list(self.q))

    def arm(self) -> Rig:
        self.hear()
        self.filter.arm(self.now, self.q, 0.04)
        return self

    def joints(self, q: Any, width: float = OPEN) -> Refusal | None:
        names = self.filter.joint_names
        return self.filter.joints(self.now.ros_ns, self.now, names, [*q, width])

    def act(self, source: Source, values: list[float]) -> Refusal | None:
        names = self.contract.action.names
        return self.filter.command(source, self.now.ros_ns, self.now, names, values)

    def step(self, ticks: int = PERIOD_TICKS) -> FilterOutput:
        for _ in range(ticks):
            self.now = Instant(self.now.ros_ns + 10 * MS, self.now.steady_ns + 10 * MS)
            self.hear()
            self.outputs.append(self.filter.tick(self.now))
            if self.outputs[-1].q_command is not None:
                self.q = self.outputs[-1].q_command
        return self.outputs[-1]

    def engage(self, source: Source, engaged: bool = True) -> None:
        self.filter.engage(source, engaged, self.now)

    @property
    def moves(self) -> bool:
        plan = self.outputs[-1].plan
        return plan is not None and bool((np.abs(plan.v[0]) > 1e-9).any())

    def ramp(self, goal: np.ndarray, periods: int, rest: int = 6) -> None:
        start = self.q.copy()
        for step in range(1, periods + 1):
            share = 0.5 - 0.5 * np.cos(np.pi * step / periods)
            assert self.joints(start + share * (goal - start)) is None
            self.step()
        for _ in range(rest):
            assert self.joints(goal) is None
            self.step()

    @property
    def executed(self) -> list[Any]:
        return [o.executed for o in self.outputs if o.executed is not None]


GOAL = np.array([0.2, -0.5, 0.1, -2.1, 0.05, 1.65, 0.9])


def test_joints_are_reached_exactly_and_told_as_joints() -> None:
    rig = Rig().arm()
    rig.engage(Source.RESET)
    rig.ramp(GOAL, 40)
    assert np.abs(rig.q - GOAL).max() < 1e-9
    assert rig.outputs[-1].gripper_width == pytest.approx(OPEN)
    assert all(e.joints and e.values.shape == (8,) for e in rig.executed)
    assert len(rig.executed) == 46
    assert all(not o.reasons for o in rig.outputs)
    # A reference of the contract's would be of a target that is not led.
    assert all(o.reference is None for o in rig.outputs[PERIOD_TICKS:])


def test_nobody_but_an_engaged_reset_commands_joints() -> None:
    rig = Rig().arm()
    refusal = rig.joints(GOAL)
    assert refusal is not None and refusal.reason is Reason.OUTRANKED
    rig.engage(Source.RESET)
    rig.engage(Source.INTERVENTION)
    refusal = rig.joints(GOAL)
    assert refusal is not None and refusal.reason is Reason.OUTRANKED


def test_a_moving_robot_does_not_change_to_joints_nor_back() -> None:
    rig = Rig().arm()
    for _ in range(8):
        assert rig.act(Source.POLICY, [0.015, 0.0, 0.01, 0.0, OPEN]) is None
        rig.step()
    rig.engage(Source.RESET)
    assert rig.joints(rig.q) is None
    output = rig.step(1)
    assert Reason.IN_MOTION in output.reasons and output.executed is None
    assert "wait until it rests" in output.messages[-1]
    for _ in range(20):
        assert rig.joints(rig.q) is None
        assert not any(e.joints for e in rig.executed)
        rig.step()
        if not rig.moves:
            break
    # At rest the joints lead, and are told as such.
    assert rig.joints(rig.q + 0.01) is None
    assert rig.step(1).executed.joints
    rig.step(4)
    for _ in range(4):
        rig.joints(rig.q + 0.02)
        rig.step()
    # A person takes over from a reset that moves: first to rest, then by the contract's actions.
    rig.engage(Source.INTERVENTION)
    refused = 0
    for _ in range(30):
        assert rig.act(Source.INTERVENTION, [0.0, 0.0, 0.01, 0.0, OPEN]) is None
        first = rig.step(1)
        rig.step(4)
        refused += Reason.IN_MOTION in first.reasons
        if first.executed is not None:
            break
    assert 1 <= refused <= 8
    assert not first.executed.joints and first.executed.values.shape == (5,)
    assert rig.outputs[-1].reference is not None


def test_what_breaks_a_limit_is_shortened_and_said() -> None:
    rig = Rig().arm()
    rig.engage(Source.RESET)
    beyond = rig.q.copy()
    beyond[0] += 1.0  # in one period
    assert rig.joints(beyond) is None
    first = rig.step(1)
    assert first.executed.reasons and abs(first.executed.values[0] - rig.robot.home[0]) < 0.2
    rig = Rig().arm()
    rig.engage(Source.RESET)
    down = rig.q.copy()
    for _ in range(400):  # into the table, joint by joint
        down = down + np.array([0.0, 0.01, 0.0, 0.0, 0.0, 0.01, 0.0])
        rig.joints(np.clip(down, rig.robot.position_min, rig.robot.position_max))
        rig.step()
    heights = [float(rig.kinematics.fk(o.q_command).position[2]) for o in rig.outputs]
    assert min(heights) >= 0.012 - 0.002 - 1e-6
    assert any(o.reasons & (Reason.WORKSPACE | Reason.COLLISION) for o in rig.outputs)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ([np.nan] + [0.0] * 7, Reason.NON_FINITE),
        ([0.0] * 7, Reason.WRONG_LENGTH),
        ([0.0] * 9, Reason.WRONG_LENGTH),
    ],
)
def test_bad_joints_change_nothing(values: list[float], reason: Reason) -> None:
    rig = Rig().arm()
    rig.engage(Source.RESET)
    refusal = rig.filter.joints(rig.now.ros_ns, rig.now, rig.filter.joint_names, values)
    assert refusal is not None and refusal.reason is reason
    before = rig.q.copy()
    rig.step(10)
    assert (rig.q == before).all() and not rig.executed


def test_silence_in_a_reset_stops_it() -> None:
    rig = Rig().arm()
    rig.engage(Source.RESET)
    rig.ramp(GOAL, 40, rest=0)
    rig.step(60)
    assert rig.outputs[-1].state is State.STOPPED
    assert Reason.STALE_COMMAND in rig.outputs[-1].cause


def test_limits_hold_over_a_whole_reset() -> None:
    rig = Rig().arm()
    limits = rig.filter.limits
    rig.engage(Source.RESET)
    rig.ramp(GOAL, 12)  # as fast as it is let
    q = np.array([o.q_command for o in rig.outputs])
    v = np.array([o.plan.v[0] for o in rig.outputs])
    a = np.array([o.plan.a[0] for o in rig.outputs])
    assert (np.abs(v) <= rig.robot.velocity_max * limits.velocity_scale * (1 + 1e-9)).all()
    assert (np.abs(a) <= rig.robot.acceleration_max * limits.acceleration_scale * 1.000001).all()
    jerk = np.diff(a, axis=0) / 0.01
    assert (np.abs(jerk) <= rig.robot.jerk_max * limits.jerk_scale * 1.000001).all()
    assert np.abs(np.diff(q, axis=0)).max() > 0.002


class TestPause:
    def test_it_rests_refuses_and_goes_on(self) -> None:
        rig = Rig().arm()
        for _ in range(8):
            rig.act(Source.POLICY, [0.015, 0.0, 0.01, 0.0, OPEN])
            rig.step()
        assert rig.moves
        rig.filter.pause(True)
        output = rig.step(1)
        assert Reason.PAUSED in output.reasons and output.state is State.HOLDING
        assert output.messages == ("the episode is paused: stopping, holding",)
        for source in (Source.POLICY, Source.INTERVENTION):
            refusal = rig.act(source, [0.0] * 4 + [OPEN])
            assert refusal is not None and refusal.reason is Reason.PAUSED
        rig.step(200)  # far beyond every timeout of commands
        assert rig.outputs[-1].state is State.HOLDING
        assert not rig.moves
        rig.filter.pause(False)
        rig.step(1)
        assert rig.act(Source.POLICY, [0.01, 0.0, 0.0, 0.0, OPEN]) is None
        output = rig.step(1)
        assert output.executed is not None and output.state is State.ARMED

    def test_a_short_pause_lasts_until_the_robot_rests(self) -> None:
        rig = Rig().arm()
        for _ in range(8):
            rig.act(Source.POLICY, [0.015, 0.0, 0.01, 0.0, OPEN])
            rig.step()
        rig.filter.pause(True)
        rig.step(1)
        rig.filter.pause(False)
        rig.step(1)
        assert rig.moves
        assert rig.act(Source.POLICY, [0.0] * 4 + [OPEN]) is not None
        for _ in range(100):
            rig.step(1)
            if not rig.moves:
                break
        rig.step(1)
        assert rig.act(Source.POLICY, [0.0] * 4 + [OPEN]) is None

    def test_a_pause_that_is_there_when_it_is_armed_holds_too(self) -> None:
        rig = Rig()
        rig.filter.pause(True)
        rig.arm()
        rig.step(300)
        assert rig.outputs[-1].state is State.HOLDING
        assert rig.act(Source.POLICY, [0.0] * 4 + [OPEN]) is not None


def test_a_robot_that_is_commanded_by_its_base_takes_no_joints() -> None:
    robot = load_robot("go2")
    franka = load_contract("franka_pick")
    axes = [
        {"name": name, "unit": unit, "minimum": -1.0, "maximum": 1.0}
        for name, unit in (("base_vx", "m/s"), ("base_vy", "m/s"), ("base_wz", "rad/s"))
    ]
    action = {
        **franka.action.model_dump(), "kind": "base_velocity", "frame": robot.base_frame,
        "axes": axes,
    }  # fmt: skip
    contract = type(franka).model_validate(
        {**franka.model_dump(), "robot": "go2", "action": action}
    )
    base = {
        "velocity": [1.0, 0.5, 1.0], "acceleration": [1.0, 1.0, 2.0],
        "jerk": [200.0, 200.0, 400.0], "timeout_s": 0.5,
    }  # fmt: skip
    topics = {**robot.topics.model_dump(), "twist_command": "cmd_vel"}
    robot = type(robot).model_validate(
        {**robot.model_dump(), "mobile_base": base, "topics": topics}
    )
    limits = load_limits("go2").model_copy(
        update={"residual_bound": dict.fromkeys(contract.action.names, 0.1)}
    )
    safety = SafetyFilter(robot, Kinematics(robot), contract, limits)
    assert safety.joint_names == ()
    refusal = safety.joints(10**18, Instant(10**18, 0), robot.joints, [0.0] * 12)
    assert refusal is not None and "actions are of its base" in refusal.message
