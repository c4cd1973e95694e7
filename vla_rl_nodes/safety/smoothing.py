"""Smooths a piecewise linear joint reference to bounded jerk, without drift or overshoot."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class Knot(NamedTuple):
    """Position, velocity and acceleration of every joint at one tick [n]."""

    q: Array
    v: Array
    a: Array


class Smoother:
    """Two moving averages over the same window, of a reference that is linear in each tick.

    The first average makes the velocity continuous, the second the acceleration; the jerk is
    constant in each tick. What comes out lies between the references of the last two windows, so
    it overshoots nothing, and it trails the reference by one window. Uniform references at the
    window's rate make it the uniform cubic B-spline of them (de Boor 1978).

    Args:
        window: ticks of each average, at least 1.
        dt: the filter's period, s.
        q: where it begins, at rest [n], rad.
    """

    def __init__(self, window: int, dt: float, q: Array) -> None:
        self._weights = _weights(window, dt)
        self._past = np.tile(q, (2 * window + 1, 1))

    def advance(self, reference: Array) -> Knot:
        """The smoothed knot after this tick, at whose end the reference is ``reference`` [n]."""
        self._past[:-1] = self._past[1:]
        self._past[-1] = reference
        q, v, a = self._weights @ self._past
        return Knot(q, v, a)

    def restart(self, q: Array) -> None:
        """Begins anew, at rest at ``q`` [n]."""
        self._past[:] = q


def _weights(window: int, dt: float) -> Array:
    """[3, 2 * window + 1]: position, velocity and acceleration from the references, oldest first.

    With f the reference, s the once averaged velocity, g the once averaged position: s is linear
    in each tick and g quadratic, so that their averages are trapezoids and a correction.
    """
    taps = 2 * window + 1
    f = np.eye(taps)  # row k: how the reference at knot k depends on each tap
    span = window * dt
    s = np.zeros((taps, taps))
    g = np.zeros((taps, taps))
    for k in range(window, taps):
        s[k] = (f[k] - f[k - window]) / span
        g[k] = sum((f[i - 1] + f[i]) / 2.0 for i in range(k - window + 1, k + 1)) / window
    last = taps - 1
    ticks = range(last - window + 1, last + 1)
    v = sum((s[i - 1] + s[i]) / 2.0 for i in ticks) / window
    a = (s[last] - s[last - window]) / span
    q = sum((g[i - 1] + g[i]) / 2.0 - dt * (s[i] - s[i - 1]) / 12.0 for i in ticks) / window
    return np.stack([np.asarray(q), np.asarray(v), a])
