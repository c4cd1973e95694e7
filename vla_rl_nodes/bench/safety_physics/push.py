"""One push with physics on: the filter's plans to the simulated controller, measured."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.bench.safety_physics.aims import Push, action_of
from vla_rl_nodes.bench.safety_physics.measure import Meter, Peaks
from vla_rl_nodes.bench.safety_physics.setting import Setting, limits_for
from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.robots.kinematics import Kinematics
from vla_rl_nodes.safety.filter import Instant, SafetyFilter, Source
from vla_rl_nodes.safety.output import FilterOutput
from vla_rl_nodes.safety.reasons import NONE, Reason, reason_names
from vla_rl_nodes.safety.state import State
from vla_rl_nodes.sim.model import TIMESTEP_S

Array = NDArray[np.float64]

STEP_NS = round(1e9 * TIMESTEP_S)
START_NS = 1_000_000_000


class Outcome(NamedTuple):
    """What came of a push.

    Attributes:
        peaks: the extremes that were measured.
        joint_speed: greatest commanded joint speed as a share of its limit.
        reasons: all that the filter gave.
        fault: why the filter stopped; empty: it did not.
    """

    peaks: Peaks
    joint_speed: float
    reasons: Reason
    fault: str


def run_push(
    setting: Setting, contract: Contract, meter: Meter, push: Push, seconds: float
) -> Outcome:
    """Full-speed commands through a newly armed filter, for so many simulated seconds."""
    return _Run(setting, contract, meter, push).run(seconds)


class _Run:
    def __init__(self, setting: Setting, contract: Contract, meter: Meter, push: Push) -> None:
        self._setting, self._contract, self._meter, self._push = setting, contract, meter, push
        self._world = setting.world
        limits = limits_for(setting.limits, contract)
        self._filter = SafetyFilter(setting.robot, Kinematics(setting.robot), contract, limits)
        self._dt = 1.0 / contract.rates.filter_hz
        self._now = START_NS
        setting.place(push.start)
        meter.restart()

    @property
    def _instant(self) -> Instant:
        return Instant(self._now, self._now)

    def run(self, seconds: float) -> Outcome:
        rates = self._contract.rates
        steps = round(self._dt / TIMESTEP_S)
        ticks = rates.filter_hz // rates.policy_hz
        width = self._world.gripper_width if self._setting.robot.gripper is not None else 0.0
        self._hear()
        self._filter.arm(self._instant, self._world.joint_positions, width)
        fastest, reasons, fault = 0.0, NONE, ""
        for tick in range(round(seconds / self._dt)):
            if tick > 0:
                self._hear()
            if tick % ticks == 0 and not fault:
                self._send()
            output = self._filter.tick(self._instant)
            reasons |= output.reasons
            fastest = max(fastest, self._command(output))
            if not fault and output.state not in (State.ARMED, State.HOLDING):
                fault = ", ".join(reason_names(output.cause)) or output.state.value
            for _ in range(steps):
                self._world.step()
                self._meter.step()
                self._now += STEP_NS
        return Outcome(self._meter.peaks, fastest, reasons, fault)

    def _hear(self) -> None:
        """What the robot's drivers say now, as measured by the simulator."""
        world, filter_, robot = self._world, self._filter, self._setting.robot
        now, positions = self._instant, world.joint_positions.tolist()
        filter_.measured(self._now, now, robot.joints, positions)
        if self._setting.limits.wrench is not None:
            wrench = world.external_wrench().tolist()
            filter_.wrench(self._now, now, wrench[:3], wrench[3:])
        if self._setting.limits.body is not None:
            filter_.body(self._now, now, [0.0, 0.0, 1.0])

    def _send(self) -> None:
        robot, action = self._setting.robot, self._contract.action
        position, rotation = np.zeros(3), np.eye(3)
        if robot.tool_frame is not None:
            position, turned = self._world.tool_pose()
            if action.frame == robot.tool_frame:
                rotation = turned
        values = action_of(self._push, self._contract, position, rotation)
        self._filter.command(
            Source.POLICY, self._now, self._instant, action.names, values.tolist()
        )

    def _command(self, output: FilterOutput) -> float:
        """Hands the plan to the controller; the share of a speed limit that it commands."""
        plan = output.plan
        if plan is None:
            return 0.0
        self._meter.commanded(plan.q[0])
        times = np.arange(1.0, len(plan.q) + 1.0) * self._dt
        self._world.command_trajectory(times, plan.q, plan.v, plan.a)
        if output.gripper_width is not None:
            self._world.command_gripper(output.gripper_width)
        limits, robot = self._setting.limits, self._setting.robot
        return float((np.abs(plan.v[0]) / (robot.velocity_max * limits.velocity_scale)).max())


def run_unfiltered(setting: Setting, meter: Meter, push: Push, seconds: float) -> Peaks:
    """The same way without the filter: straight to the goal at the speed limit of the joint that
    has farthest to go, then held there."""
    setting.place(push.start)
    meter.restart()
    world, robot = setting.world, setting.robot
    goal = np.clip(push.goal, robot.position_min, robot.position_max)
    fastest = robot.velocity_max * setting.limits.velocity_scale
    duration = max(float((np.abs(goal - push.start) / fastest).max()), TIMESTEP_S)
    world.command_trajectory(np.array([duration]), goal[np.newaxis])
    for _ in range(round((duration + seconds) / TIMESTEP_S)):
        world.step()
        meter.step()
    return meter.peaks
