"""Checks of the velocities that a mobile base is commanded to."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.bench.safety.bounds import Bounds
from vla_rl_nodes.bench.safety.streams import Violation

Array = NDArray[np.float64]

SHARE = 1e-6  # rounding, of a limit
NAMES = ("base_vx", "base_vy", "base_wz")


class BaseCheck:
    """Velocity, and its first and second difference over the filter's period.

    After missed ticks the base holds the last velocity, so one difference is missing, not wrong.
    """

    def __init__(self, bounds: Bounds, dt: float) -> None:
        self.violations: list[Violation] = []
        self._limits, self._dt = bounds.base, dt
        self._ticks = 0
        self.restart()

    def restart(self) -> None:
        """The base stands still."""
        self._velocity, self._change = np.zeros(3), np.zeros(3)

    def tick(self, twist: Array | None, skipped: int) -> None:
        """One tick's velocity [3] in m/s and rad/s; None: nothing is commanded any more."""
        self._ticks += 1
        if self._limits is None:
            return
        if twist is None:
            if np.abs(self._velocity).max() > 0.0:
                self._report("rest", 0, float(np.abs(self._velocity).max()))
            self.restart()
            return
        if not np.isfinite(twist).all():
            self._report("finite", 0, np.inf)
            return
        if skipped:
            self._change = np.zeros(3)  # the velocity was held
        change = (twist - self._velocity) / self._dt
        jerk = (change - self._change) / self._dt
        for kind, values, limit in zip(
            ("velocity", "acceleration", "jerk"), (twist, change, jerk), self._limits, strict=True
        ):
            over = np.abs(values) - limit * (1.0 + SHARE)
            if (over > 0.0).any():
                axis = int(np.argmax(over))
                self._report(kind, axis, float(over[axis]))
        self._velocity, self._change = twist.copy(), change

    def _report(self, kind: str, axis: int, excess: float) -> None:
        self.violations.append(Violation(kind, self._ticks - 1, False, excess, NAMES[axis]))
