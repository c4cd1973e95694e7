"""Bounds the policy's residual, widening only by a schedule that is kept on the robot."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.contract.spec import Action
from vla_rl_nodes.robots.model import Robot
from vla_rl_nodes.safety.limits import ResidualStage, SafetyLimits
from vla_rl_nodes.safety.reasons import NONE, Reason

Array = NDArray[np.float64]

SAME = 1e-6  # in an axis' unit: below this a bound counts as kept (actions are float32)


def scheduled_share(schedule: list[ResidualStage], accepted: int) -> float:
    """Share of the residual bound after so many accepted residuals, linear between stages."""
    after = [float(stage.after) for stage in schedule]
    return float(np.interp(float(accepted), after, [stage.share for stage in schedule]))


class ActionBounds:
    """Adds a residual to its base action, each within its bounds.

    The residual of every axis is clipped to the scheduled share of its bound. The schedule
    counts the residuals accepted since this object was made: a restart begins anew, and nothing
    that comes from outside widens it. The sum is clipped to the contract's axes, an opening of
    the gripper also to what the gripper can open.

    Args:
        robot: its gripper.
        action: the contract's axes.
        limits: residual bounds and their schedule.
    """

    def __init__(self, robot: Robot, action: Action, limits: SafetyLimits) -> None:
        self._names = action.names
        self._minimum, self._maximum = action.minimum.copy(), action.maximum.copy()
        if action.has_gripper and robot.gripper is not None:
            self._minimum[-1] = max(self._minimum[-1], 0.0)
            self._maximum[-1] = min(self._maximum[-1], robot.gripper.width_max)
        self.accepted = 0
        self.set_limits(limits)

    def set_limits(self, limits: SafetyLimits) -> None:
        """Takes the bounds and the schedule of new limits; what was counted stays counted."""
        self._bound = np.array([limits.residual_bound[name] for name in self._names])
        self._schedule = limits.residual_schedule

    @property
    def share(self) -> float:
        """Share of the residual bound that is allowed now."""
        return scheduled_share(self._schedule, self.accepted)

    def bounded(self, base: Array, residual: Array | None) -> tuple[Array, Reason]:
        """The action to ask the target for [axes], and why it is not the plain sum."""
        reasons = NONE
        total = base.copy()
        if residual is not None:
            bound = self.share * self._bound
            kept = np.clip(residual, -bound, bound)
            if (np.abs(kept - residual) > SAME).any():
                reasons |= Reason.RESIDUAL_BOUND
            total += kept
        action = np.clip(total, self._minimum, self._maximum)
        if (np.abs(action - total) > SAME).any():
            reasons |= Reason.ACTION_BOUND
        return action, reasons
