"""Velocity targets of a mobile base: base_velocity actions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.robots.model import Robot
from vla_rl_nodes.safety.limits import SafetyLimits
from vla_rl_nodes.safety.reasons import NONE, Reason
from vla_rl_nodes.safety.targets.target import Accepted

Array = NDArray[np.float64]


class BaseTarget:
    """A velocity along the base's x and y (m/s) and about its z (rad/s), inside the limits.

    Args:
        robot: with a mobile base.
        limits: the share of its velocities.

    Raises:
        InputError: the robot has no mobile base.
    """

    pose_names: tuple[str, ...] = ("base_vx", "base_vy", "base_wz")

    def __init__(self, robot: Robot, limits: SafetyLimits) -> None:
        if robot.mobile_base is None:
            raise InputError(robot.name, "has no mobile base", "choose another kind of action")
        self._fastest = np.array(robot.mobile_base.velocity)
        self._velocity = np.zeros(3)
        self.width: float | None = None
        self.tighten(limits)

    @property
    def pose(self) -> Array:
        """The velocity to reach [3], m/s and rad/s."""
        return self._velocity.copy()

    def accept(self, action: Array, q_command: Array) -> Accepted:
        """See :class:`Target`."""
        most = self._fastest * self._scale
        bounded = np.clip(action, -most, most)
        self._velocity = bounded
        if (bounded == action).all():
            return Accepted(action, NONE)
        return Accepted(bounded, Reason.JOINT_VELOCITY)

    def push(self, displacement: Array) -> None:
        """A base that is pushed stands still."""
        self._velocity = np.zeros(3)

    def back(self) -> bool:
        """Where a base came from is not known here: it stands still."""
        return False

    def restart(self, q: Array) -> None:
        """See :class:`Target`."""
        self._velocity = np.zeros(3)

    def tighten(self, limits: SafetyLimits) -> None:
        """See :class:`Target`."""
        self._scale = limits.velocity_scale
        self._velocity = np.clip(
            self._velocity, -self._fastest * self._scale, self._fastest * self._scale
        )

    def advance(self) -> Array:
        """The velocity to reach [3]."""
        return self._velocity
