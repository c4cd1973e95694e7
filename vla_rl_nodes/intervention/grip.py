"""The gripper's opening, an absolute axis: it stays where it is until the person moves it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.contract.spec import Action
from vla_rl_nodes.intervention.device import Press

Array = NDArray[np.float64]


class Grip:
    """The opening that the person asks for.

    Args:
        action: the contract's; its last axis may be the gripper's opening.
    """

    def __init__(self, action: Action) -> None:
        self._has = action.has_gripper
        self._low, self._high = float(action.minimum[-1]), float(action.maximum[-1])
        self._wanted: float | None = None
        self._presses: list[Press] = []

    def forget(self) -> None:
        """The next command goes on from the opening that there is then."""
        self._wanted = None
        self._presses.clear()

    def press(self, presses: Sequence[Press]) -> None:
        """Takes buttons that were pressed, in their order."""
        self._presses += presses

    def follow(self, share: float) -> None:
        """Takes a trigger's position, 0 closed to 1 open."""
        self._wanted = self._low + share * (self._high - self._low)

    def off(self, share: float, opening: float | None) -> float:
        """How far a trigger is from an opening, m."""
        return self._low + share * (self._high - self._low) - (opening or 0.0)

    def joined(self, arm: Array, opening: float | None) -> Array:
        """The whole action [axes]: the arm's axes, and the opening where the contract has one.

        Args:
            arm: the arm's axes.
            opening: to which the gripper was sent, m.
        """
        if not self._has:
            return arm
        if self._wanted is None:
            self._wanted = self._low if opening is None else opening
        for press in self._presses:
            is_open = self._wanted > (self._low + self._high) / 2
            opens = press == "open" or (press == "toggle" and not is_open)
            self._wanted = self._high if opens else self._low
        self._presses.clear()
        return np.append(arm, min(max(self._wanted, self._low), self._high))
