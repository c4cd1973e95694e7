"""A hand on a SpaceMouse: it lags behind what is wanted, trembles, and is read in counts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.intervention.settings import AXES as NAMES
from vla_rl_nodes.intervention.settings import DeviceSettings

Vector = NDArray[np.float64]

AXES, BUTTONS = 6, 2  # of a SpaceMouse


@dataclass(frozen=True)
class Feel:
    """What a person has learned of a device by using it: how far to push for which speed.

    Args:
        full_speed: what a full deflection of each axis does [6], m/s and rad/s; 0 where an axis
            does nothing.
        dead_zone: the share of the full deflection that does nothing.
        close: the place of the button that closes the gripper, 0 or 1.
        open: of the one that opens it; the same where one button does both.
    """

    full_speed: tuple[float, ...]
    dead_zone: float
    close: int = 0
    open: int = 1

    def deflection(self, velocity: Vector) -> Vector:
        """The push [6] in -1 to 1 that makes the tool move with a velocity [6], m/s and rad/s."""
        full = np.array(self.full_speed)
        share = np.divide(velocity, full, out=np.zeros(AXES), where=full > 0.0)
        pushed = np.sign(share) * (self.dead_zone + (1.0 - self.dead_zone) * np.abs(share))
        return np.asarray(np.clip(np.where(share == 0.0, 0.0, pushed), -1.0, 1.0))

    def pressure(self) -> float:
        """A push that is just felt by the device, without moving anything to speak of."""
        return self.dead_zone + 0.04 * (1.0 - self.dead_zone)


def feel_of(device: DeviceSettings) -> Feel:
    """What a person learns of a device that has these settings.

    Raises:
        InputError: it is no device of velocities along the base's axes.
    """
    if device.kind == "leader" or device.frame != "base":
        raise InputError(
            f"device {device.name}",
            "does not command velocities along the base's axes, and the scripted person knows"
            " no other",
            "give a SpaceMouse with frame: base",
        )
    gripper = device.gripper
    if gripper is None:
        raise InputError(f"device {device.name}", "has no button for the gripper", "give it one")
    both = gripper.toggle
    close, open_ = (gripper.close, gripper.open) if both is None else (both, both)
    if close is None or open_ is None or max(close, open_) >= BUTTONS:
        raise InputError(
            f"device {device.name}", "does not open and close the gripper by its two buttons",
            f"give toggle, or open and close, below {BUTTONS}",
        )  # fmt: skip
    speeds = [device.speed.linear] * 3 + [device.speed.angular] * 3
    moved = tuple(
        speed if name in device.axes else 0.0 for name, speed in zip(NAMES, speeds, strict=True)
    )
    return Feel(moved, device.dead_zone, close, open_)


@dataclass(frozen=True)
class HandSettings:
    """How a hand moves the cap."""

    lag_s: float = 0.06  # time constant, towards what is wanted
    spring_s: float = 0.02  # of the cap's own springs, when it is let go
    tremor: float = 0.012  # standard deviation on every axis while it is held
    tremor_s: float = 0.08  # how long a tremor lasts
    clumsy: float = 0.04  # standard deviation, as a share of the push
    counts: int = 350  # of a full deflection


class Hand:
    """Deflections of the cap over time.

    Args:
        rng: source of the tremor.
        settings: how it moves.
    """

    def __init__(self, rng: np.random.Generator, settings: HandSettings | None = None) -> None:
        self._rng, self._settings = rng, settings or HandSettings()
        self._at = np.zeros(AXES)
        self._tremor = np.zeros((2, AXES))
        self._last_s: float | None = None

    def push(self, now_s: float, wanted: Vector | None) -> Vector:
        """What the device reads [6], in -1 to 1 and whole counts.

        Args:
            now_s: s, not before the last call's.
            wanted: the push that is meant [6]; None when the hand is off the cap.
        """
        s = self._settings
        passed = 0.0 if self._last_s is None else max(now_s - self._last_s, 0.0)
        self._last_s = now_s
        lag = s.spring_s if wanted is None else s.lag_s
        kept = float(np.exp(-passed / lag))
        self._at = kept * self._at + (1.0 - kept) * (np.zeros(AXES) if wanted is None else wanted)
        fresh = self._rng.standard_normal((2, AXES))
        last = float(np.exp(-passed / s.tremor_s))
        self._tremor = last * self._tremor + np.sqrt(1.0 - last**2) * fresh
        felt = self._at
        if wanted is not None:
            felt = felt * (1.0 + s.clumsy * self._tremor[0]) + s.tremor * self._tremor[1]
        return np.asarray(np.round(np.clip(felt, -1.0, 1.0) * s.counts) / s.counts)
