"""What every kind of action makes of a person's motion, and how it is kept inside its bounds."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.intervention.reference import Reference
from vla_rl_nodes.intervention.settings import DeviceSettings

Array = NDArray[np.float64]


class Off(NamedTuple):
    """How far a leader is from the robot on one axis: rad or m, and what of it is allowed."""

    name: str
    error: float
    allowed: float


class Moves(Protocol):
    """The arm's axes of one kind of action; the gripper's is not among them.

    Every result is finite and inside the contract's bounds.
    """

    def hold(self, reference: Reference) -> Array:
        """The action [arm axes] that moves nothing."""

    def push(self, reference: Reference, settings: DeviceSettings, motion: Array) -> Array:
        """The action [arm axes] of a deflection ``motion`` [6] in -1..1."""

    def follow(
        self, reference: Reference, settings: DeviceSettings, joints: Array, share: float
    ) -> Array:
        """The action [arm axes] that goes towards a leader's ``joints`` [n], rad, at ``share``
        of the device's speeds at most."""

    def off(self, reference: Reference, settings: DeviceSettings, joints: Array) -> list[Off]:
        """How far a leader's ``joints`` [n], rad, are from where the robot was sent."""


def within(vector: Array, most: float) -> Array:
    """``vector`` [3] made shorter, in its direction, until it is ``most`` long: a speed along a
    diagonal is no greater than one along an axis."""
    length = float(np.sqrt(vector @ vector))
    return vector if length <= most else vector * (most / length)


def shrunk(values: Array, low: Array, high: Array) -> Array:
    """``values`` made shorter until they are between ``low`` and ``high``, in their direction."""
    share = 1.0
    for value, least, most in zip(values.tolist(), low.tolist(), high.tolist(), strict=True):
        if value > most:
            share = min(share, max(most, 0.0) / value)
        elif value < least:
            share = min(share, min(least, 0.0) / value)
    return np.minimum(np.maximum(share * values, low), high)
