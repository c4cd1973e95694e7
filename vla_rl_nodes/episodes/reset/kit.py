"""What a reset works with: one robot's model, its planners, its script and its numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.episodes.reset.check import WayCheck
from vla_rl_nodes.episodes.reset.planner import Planner, RoomPlanner
from vla_rl_nodes.episodes.reset.script import ResetScript
from vla_rl_nodes.episodes.reset.settings import ResetSettings
from vla_rl_nodes.episodes.reset.timing import Timing
from vla_rl_nodes.robots.kinematics import Kinematics
from vla_rl_nodes.robots.model import Robot
from vla_rl_nodes.safety.limits import SafetyLimits

Array = NDArray[np.float64]
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Pending(Protocol[T_co]):
    """A result that comes later."""

    def done(self) -> bool:
        """Whether it is there."""

    def result(self) -> T_co:
        """It, or the exception that came instead."""


class Submit(Protocol):
    """Has work done, perhaps in another thread, one piece at a time."""

    def __call__(self, work: Callable[[], T]) -> Pending[T]:
        """Takes the work on."""


def at_once(work: Callable[[], T]) -> Pending[T]:
    """Does the work in the caller's thread: for loops in simulated time."""
    future: Future[T] = Future()
    try:
        future.set_result(work())
    except Exception as error:
        future.set_exception(error)
    return future


@dataclass(frozen=True)
class Kit:
    """Everything that does not change from one reset to the next.

    Attributes:
        robot: joints and gripper.
        contract: actions and the control period.
        script: the task's reset; None where the task has none.
        settings: numbers.
        submit: where planning is done.
        tool: kinematics for the tick's thread.
        kinematics: kinematics for planning; so are the four below, they belong to its thread.
        check: of every way.
        timing: of every way.
        planners: asked in this order.
        limits: the safety filter's.
    """

    robot: Robot
    contract: Contract
    script: ResetScript | None
    settings: ResetSettings
    submit: Submit
    tool: Kinematics
    kinematics: Kinematics
    check: WayCheck
    timing: Timing
    planners: tuple[Planner, ...]
    limits: SafetyLimits

    @property
    def plans(self) -> str:
        """Why no arm can be planned for here; empty where it can."""
        if self.contract.action.kind == "base_velocity" or self.robot.floating_base:
            return f"{self.robot.name} stands on legs: there is no arm whose way could be planned"
        return ""

    @property
    def period_s(self) -> float:
        """Between two ticks, and two commands: the control period."""
        return 1.0 / self.contract.policy_hz


def make_kit(
    robot: Robot, contract: Contract, limits: SafetyLimits, script: ResetScript | None,
    settings: ResetSettings, submit: Submit, first: Sequence[Planner] = (),
) -> Kit:  # fmt: skip
    """A kit of one robot and task.

    Args:
        robot: what moves.
        contract: its task.
        limits: the safety filter's.
        script: how the task is reset, or None.
        settings: numbers.
        submit: where planning is done.
        first: planners that are asked before the room's own.
    """
    kinematics = Kinematics(robot)
    check = WayCheck(robot, kinematics, limits)
    timing = Timing(robot, kinematics, limits, settings.speed_share, 1.0 / contract.policy_hz)
    own = RoomPlanner(robot, kinematics, limits, check, settings.lift_m, settings.plan_s)
    return Kit(
        robot, contract, script, settings, submit, Kinematics(robot), kinematics, check, timing,
        (*first, own), limits,
    )  # fmt: skip
