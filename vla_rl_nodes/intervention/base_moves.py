"""A person drives a mobile base: base_velocity actions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.contract.spec import Action
from vla_rl_nodes.intervention.moves import Off, shrunk, within
from vla_rl_nodes.intervention.reference import Reference
from vla_rl_nodes.intervention.settings import DeviceSettings

Array = NDArray[np.float64]


class BaseMoves:
    """base_velocity: along the base's x and y, about its z.

    Args:
        action: the contract's.
    """

    def __init__(self, action: Action) -> None:
        self._low, self._high = action.minimum, action.maximum

    def hold(self, reference: Reference) -> Array:
        """See :class:`Moves`."""
        return np.clip(np.zeros(3), self._low, self._high)

    def push(self, reference: Reference, settings: DeviceSettings, motion: Array) -> Array:
        """See :class:`Moves`."""
        speed = settings.speed
        way = shrunk(speed.linear * within(motion[:2], 1.0), self._low[:2], self._high[:2])
        return np.append(way, np.clip(speed.angular * motion[5], self._low[2], self._high[2]))

    def follow(
        self, reference: Reference, settings: DeviceSettings, joints: Array, share: float
    ) -> Array:
        """A base follows no arm: it stands."""
        return self.hold(reference)

    def off(self, reference: Reference, settings: DeviceSettings, joints: Array) -> list[Off]:
        """A base has nothing in common with an arm."""
        return []
