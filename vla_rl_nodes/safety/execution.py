"""From the commands of whoever is in command to what the target is asked for, one a tick."""

from __future__ import annotations

import numpy as np

from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.robots.model import Robot
from vla_rl_nodes.safety.arbitration import Arbiter
from vla_rl_nodes.safety.commands import Pair
from vla_rl_nodes.safety.course import Course
from vla_rl_nodes.safety.drive import Drive
from vla_rl_nodes.safety.inputs import Refusal
from vla_rl_nodes.safety.limits import SafetyLimits
from vla_rl_nodes.safety.output import Executed
from vla_rl_nodes.safety.reasons import NONE, Reason
from vla_rl_nodes.safety.reset_joints import joint_action
from vla_rl_nodes.safety.residuals import ActionBounds, Array
from vla_rl_nodes.safety.state import Instant


class Execution:
    """Takes commands in turn, bounds them, and asks the target for them.

    Attributes:
        arbiter: keeps the commands of all sources.
        joint_names: what a reset's joint command consists of; empty where the robot takes none.

    Args:
        robot: its joints and gripper.
        contract: the actions, and the control period.
        limits: timeouts and the bounds of residuals.
    """

    def __init__(self, robot: Robot, contract: Contract, limits: SafetyLimits) -> None:
        self._joints = joint_action(robot, contract)
        self.joint_names = () if self._joints is None else self._joints.names
        self.arbiter = Arbiter(contract, limits, self.joint_names)
        self._bounds = ActionBounds(robot, contract.action, limits)

    def set_limits(self, limits: SafetyLimits) -> None:
        """Takes new limits."""
        self.arbiter.set_limits(limits)
        self._bounds.set_limits(limits)

    def execute(self, now: Instant, drive: Drive, course: Course) -> Executed | None:
        """Accepts this control tick's command, if there is one and it is still good.

        Args:
            now: the tick's time.
            drive: whose target is moved.
            course: is told what was refused, and what had to be changed.

        Raises:
            ArithmeticError: what was accepted is no action.
        """
        pair = self.arbiter.take(now)
        if pair is None:
            return None
        refusal = _turned(drive, pair.joints) if isinstance(pair, Pair) else pair
        if refusal is not None:
            course.reasons |= refusal.reason
            course.messages.append(refusal.message)
            return None
        assert isinstance(pair, Pair)
        action, reasons = self._bounded(pair)
        accepted = drive.accept(action)
        if pair.residual is not None:
            self._bounds.accepted += 1
        reasons |= accepted.reasons
        course.reasons |= reasons
        return Executed(pair.base.stamp_ns, accepted.values, reasons, pair.joints)

    def _bounded(self, pair: Pair) -> tuple[Array, Reason]:
        if not pair.joints or self._joints is None:
            return self._bounds.bounded(pair.base.values, pair.residual)
        given = pair.base.values
        action = np.clip(given, self._joints.minimum, self._joints.maximum)
        return action, NONE if (action == given).all() else Reason.ACTION_BOUND


def _turned(drive: Drive, joints: bool) -> Refusal | None:
    """Lets the target be of joints, or of the contract's actions; why it cannot be now."""
    try:
        if drive.turn_to(joints):
            return None
    except InputError as error:
        return Refusal(Reason.IK_FAILED, " ".join(str(error).split()))
    kind = "joints" if joints else "an action"
    return Refusal(Reason.IN_MOTION, f"{kind} refused: the robot moves; wait until it rests")
