"""What moves an armed robot: its target, the motion after it, and the ways to come to rest."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.contract.spec import Action, Contract
from vla_rl_nodes.robots.kinematics import Kinematics
from vla_rl_nodes.robots.model import Robot
from vla_rl_nodes.safety.base_motion import BaseMotion
from vla_rl_nodes.safety.clearance import Clearance
from vla_rl_nodes.safety.limits import SafetyLimits
from vla_rl_nodes.safety.motion import Motion
from vla_rl_nodes.safety.reasons import Reason
from vla_rl_nodes.safety.reset_joints import joint_action
from vla_rl_nodes.safety.state import Missed
from vla_rl_nodes.safety.stop import Plan
from vla_rl_nodes.safety.targets.make import make_target
from vla_rl_nodes.safety.targets.target import Accepted, Target

Array = NDArray[np.float64]


class Moving(Protocol):
    """What :class:`Motion` and :class:`BaseMotion` have in common."""

    plan: Plan
    width: float | None

    @property
    def q(self) -> Array:
        """Positions just commanded [n], rad."""

    @property
    def at_rest(self) -> bool:
        """Whether nothing moves and nothing is left to brake."""

    def follow(self, reference: Array, width: float | None = None) -> Reason:
        """One tick after the reference."""

    def stop(self) -> None:
        """One tick along the stored stop."""

    def skip(self, ticks: int) -> None:
        """So many ticks were missed: the motion goes on from where the controller has gone."""

    def restart_reference(self) -> None:
        """The reference begins anew where the motion rests."""

    def tighten(self, limits: SafetyLimits) -> None:
        """Takes stricter limits."""


class Drive:
    """The target and the motion of one arming; begins at rest.

    Args:
        robot: what moves.
        kinematics: of that robot.
        clearance: its distances.
        contract: kind of action and rates.
        limits: what is allowed.
        q: where the robot is, at rest [n], rad.
        width: the gripper's opening, m.
        missed: what the joints' controller does in ticks that are missed.

    Raises:
        InputError: the robot cannot be commanded from there.
    """

    def __init__(
        self,
        robot: Robot,
        kinematics: Kinematics,
        clearance: Clearance,
        contract: Contract,
        limits: SafetyLimits,
        q: Array,
        width: float,
        missed: Missed = Missed.PLAN,
    ) -> None:
        rates = contract.rates
        self._dt = 1.0 / rates.filter_hz
        self._ticks = rates.filter_hz // rates.policy_hz
        self._robot, self._kinematics, self._clearance = robot, kinematics, clearance
        self._contract, self._limits = contract, limits
        opening = None
        if robot.gripper is not None:
            opening = min(max(width, 0.0), robot.gripper.width_max)
        self.by_joints = False  # whether the target is the reset's joints
        self._target = self._make_target(contract.action, q, opening)
        self._motion: Moving
        if contract.action.kind == "base_velocity":
            self._motion = BaseMotion(robot, limits, self._dt)
        else:
            self._motion = Motion(
                robot, kinematics, clearance, limits, self._dt, q, opening, missed
            )
        self.moved = False  # whether anything was commanded to move yet
        self._settled = True
        self._retreat: int | None = None  # ticks gone of the retreat that is ordered
        self._retreat_ticks = 0
        self._pushed = 0  # ticks since giving way began

    def _make_target(self, action: Action, q: Array, width: float | None) -> Target:
        self._axes = len(action.axes)
        return make_target(
            self._robot, self._kinematics, self._clearance, action, self._limits, self._ticks,
            self._dt, q, width,
        )  # fmt: skip

    def turn_to(self, joints: bool) -> bool:
        """The coming actions are joint positions of the reset, or else those of the contract.

        The target begins anew where the robot rests; False, and nothing has changed, while it
        moves.

        Raises:
            InputError: the robot cannot be commanded so from here.
        """
        if joints == self.by_joints:
            return True
        if not self._motion.at_rest:
            return False
        action = joint_action(self._robot, self._contract) if joints else self._contract.action
        assert action is not None  # whoever takes no joints has refused them
        self._target = self._make_target(action, self._motion.q, self._target.width)
        self._motion.restart_reference()
        self.by_joints = joints
        return True

    @property
    def q(self) -> Array:
        """Joint positions just commanded [n], rad; of a mobile base what it went, [3]."""
        return self._motion.q

    @property
    def plan(self) -> Plan:
        """What was just commanded, and the verified stop after it."""
        return self._motion.plan

    @property
    def width(self) -> float | None:
        """The opening just commanded, m; None without a gripper."""
        return self._motion.width

    @property
    def at_rest(self) -> bool:
        """Whether nothing moves and nothing is left to brake."""
        return self._motion.at_rest

    @property
    def pose(self) -> Array:
        """The target's pose, as ``safety/reference`` says it."""
        return self._target.pose.copy()

    @property
    def pose_names(self) -> tuple[str, ...]:
        """Names of the pose's components."""
        return self._target.pose_names

    def tighten(self, limits: SafetyLimits) -> None:
        """Takes stricter limits, from the next tick on."""
        self._limits = limits
        self._target.tighten(limits)
        self._motion.tighten(limits)

    def accept(self, action: Array) -> Accepted:
        """Moves the target by an action [axes]; what of it was accepted.

        Raises:
            ArithmeticError: what came back is no action.
        """
        accepted = self._target.accept(action, self._motion.q)
        if accepted.values.shape != (self._axes,) or not np.isfinite(accepted.values).all():
            raise ArithmeticError("the accepted action is not finite")
        return accepted

    def follow(self) -> Reason:
        """One tick after the target; what had to be changed for a verified step.

        Raises:
            ArithmeticError: the target's reference is not finite.
        """
        reference = self._target.advance()
        if not np.isfinite(reference).all():
            raise ArithmeticError("the target's reference is not finite")
        reasons = self._motion.follow(reference, self._target.width)
        self._settled = False
        self.moved = self.moved or not self._motion.at_rest
        return reasons

    def stop(self) -> None:
        """One tick along the stored stop."""
        self._motion.stop()

    def skip(self, ticks: int) -> None:
        """So many ticks were missed: the motion goes on from where the controller has gone."""
        self._motion.skip(ticks)

    def settle(self) -> None:
        """Once the stop has come to its end, the target begins anew where the robot rests."""
        if not self._settled and self._motion.at_rest:
            self._settled = True  # first: what raises is not tried again
            self._target.restart(self._motion.q)
            self._motion.restart_reference()

    def give_way(self, direction: Array, speed: float) -> None:
        """Moves the target along a force, one control period at a time.

        Args:
            direction: the force's [3], of length 1 or 0, along the base frame's axes.
            speed: m/s.
        """
        if self._pushed % self._ticks == 0:
            self._target.push(direction * (speed * self._ticks * self._dt))
        self._pushed += 1

    def stand_firm(self) -> None:
        """The force is gone: the next push begins at once."""
        self._pushed = 0

    @property
    def retreating(self) -> bool:
        """Whether a retreat was ordered and is not over."""
        return self._retreat is not None

    def order_retreat(self, seconds: float) -> None:
        """Once it is at rest the robot will go back along its way for so long."""
        self._retreat, self._retreat_ticks = 0, max(round(seconds / self._dt), 1)

    def cancel_retreat(self) -> None:
        """The robot stays where its stop ends."""
        self._retreat = None

    def retreat(self) -> Reason | None:
        """One tick back along the way; None, and nothing moves, when there is none to go now.

        There is none before the stop is over, nor when the time or the way has ended.
        """
        if self._retreat is None or (self._retreat == 0 and not self._settled):
            return None
        period_begins = self._retreat % self._ticks == 0
        if self._retreat >= self._retreat_ticks or (period_begins and not self._target.back()):
            self._retreat = None
            return None
        self._retreat += 1
        return self.follow()
