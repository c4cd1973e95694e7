"""What every kind of target does."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.safety.limits import SafetyLimits
from vla_rl_nodes.safety.reasons import Reason

Array = NDArray[np.float64]


class Accepted(NamedTuple):
    """The action [axes] that was really accepted, in the contract's axes and units, and why it
    differs from what was asked."""

    values: Array
    reasons: Reason


class Target(Protocol):
    """Where the motion is led to, moved by one action in each control period.

    Attributes:
        width: the gripper's opening to reach, m; None without a gripper.
        pose_names: names of ``pose``.
    """

    width: float | None
    pose_names: tuple[str, ...]

    @property
    def pose(self) -> Array:
        """The target, as ``safety/reference`` says it."""

    def accept(self, action: Array, q_command: Array) -> Accepted:
        """Moves the target by an action [axes] that is inside the contract's bounds.

        What is inside the limits is accepted bit for bit; else the nearest to it that is.

        Args:
            action: base action and residual together.
            q_command: joint positions just commanded [n], rad.
        """

    def push(self, displacement: Array) -> None:
        """Gives way by ``displacement`` [3], m, along the base frame's axes."""

    def back(self) -> bool:
        """One control period back along the way; False when there is no way left."""

    def restart(self, q: Array) -> None:
        """Takes over at joint positions [n] at rest; nothing moves by itself."""

    def tighten(self, limits: SafetyLimits) -> None:
        """Takes stricter limits, from the next action on."""

    def advance(self) -> Array:
        """The joint reference [n] one filter tick later, rad."""
