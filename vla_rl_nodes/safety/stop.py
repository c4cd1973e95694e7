"""Stops: knots that bring every joint to rest together, within acceleration and jerk limits."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

SHARE = 1e-9  # of a limit: rounding


class Plan(NamedTuple):
    """Knots of a commanded motion, one filter period apart; the jerk is constant between two.

    So between two knots the positions are a cubic, which both the cubic and the quintic spline
    of a joint_trajectory_controller reproduce exactly. The last row is at rest.

    Attributes:
        q: positions [m, n], rad.
        v: velocities [m, n], rad/s.
        a: accelerations [m, n], rad/s^2.
    """

    q: Array
    v: Array
    a: Array

    def after(self, ticks: int = 1) -> Plan:
        """What is left after so many periods: never less than the last row."""
        first = min(ticks, len(self.q) - 1)
        return Plan(self.q[first:], self.v[first:], self.a[first:])


def resting(q: Array) -> Plan:
    """The plan of an arm that stays at ``q`` [n]."""
    row = q[np.newaxis].copy()
    return Plan(row, np.zeros_like(row), np.zeros_like(row))


class StopShape(NamedTuple):
    """A stop in so many ticks as linear maps of the velocity and acceleration it begins with.

    Attributes:
        q: [m, 2] displacement for unit velocity and acceleration.
        v: [m, 2] velocity.
        a: [m, 2] acceleration.
    """

    q: Array
    v: Array
    a: Array


class Stopping:
    """Stops of one robot, at the filter's period.

    A stop takes the acceleration to its braking value over a ramp of a fixed number of ticks,
    keeps it, and takes it back to zero over as long a ramp; knots lie on whole ticks, so that
    no limit is broken between two of them either. All joints take equally long, as long as the
    slowest to brake needs, so the tool roughly keeps its direction. With the number of ticks
    given everything is linear in the velocity and acceleration at the beginning.

    Ruckig (Berscheid and Kroeger 2021) finds the shortest stop in continuous time, whose phases
    end between ticks; ours is at most a ramp and a tick longer.

    Args:
        acceleration: greatest [n], rad/s^2.
        jerk: greatest [n], rad/s^3.
        dt: the filter's period, s.
    """

    def __init__(self, acceleration: Array, jerk: Array, dt: float) -> None:
        self.acceleration, self.jerk, self.dt = acceleration, jerk, dt
        ratio = float(np.max(2.0 * self.acceleration / (self.jerk * dt)))
        self.ramp = max(math.ceil(ratio - SHARE), 1)

    def reaches(self, a: Array, other: Array) -> bool:
        """Whether the acceleration [n] can go from ``a`` to ``other`` in one tick."""
        most = 1.0 + SHARE
        change = np.abs(other - a) <= self.jerk * (self.dt * most)
        return bool((change & (np.abs(other) <= self.acceleration * most)).all())

    def room(self, v: Array, a: Array, slowest: Array, fastest: Array) -> tuple[Array, Array]:
        """Lowest and highest acceleration [n] at the next knot after one at ``v``, ``a``, so that
        neither it nor its stop is slower than ``slowest`` or faster than ``fastest`` [n]."""
        lower = np.maximum(a - self.jerk * self.dt, -self.acceleration)
        upper = np.minimum(a + self.jerk * self.dt, self.acceleration)
        half = 0.5 * self.dt
        fixed = v + half * a  # velocity at the next knot without acceleration there
        # While the stop takes back an acceleration the velocity still grows.
        growth = half * (1.0 + self.ramp)
        above, below = fastest - fixed, slowest - fixed
        upper = np.minimum(upper, np.where(above > 0.0, above / growth, above / half))
        lower = np.maximum(lower, np.where(below < 0.0, below / growth, below / half))
        return lower, upper

    def ticks(self, v: Array, a: Array) -> int:
        """How many ticks the stop from velocity ``v`` [n] and acceleration ``a`` [n] takes."""
        to_lose = np.abs(v + a * (0.5 * self.ramp * self.dt))
        plateau = float((to_lose / self.acceleration).max()) / self.dt
        return max(2 * self.ramp, self.ramp + math.ceil(plateau - SHARE))

    def shape(self, ticks: int) -> StopShape:
        """The stop in ``ticks``, at least ``2 * ramp``."""
        return _shape(ticks, self.ramp, self.dt)

    def plan(self, q: Array, v: Array, a: Array) -> Plan:
        """The knot ``q``, ``v``, ``a`` [n] and its stop after it; |a| within its limit."""
        shape = self.shape(self.ticks(v, a))
        start = np.stack([v, a])
        positions, velocities = q + shape.q @ start, shape.v @ start
        accelerations = shape.a @ start
        positions[0], velocities[0], accelerations[0] = q, v, a
        velocities[-1], accelerations[-1] = 0.0, 0.0
        return Plan(positions, velocities, accelerations)


@lru_cache(maxsize=512)
def _shape(ticks: int, ramp: int, dt: float) -> StopShape:
    knots = np.arange(ticks + 1)
    trapezoid = np.minimum(np.minimum(knots, ticks - knots) / ramp, 1.0)
    fading = np.maximum(1.0 - knots / ramp, 0.0)
    # What the fading acceleration adds to the velocity has to be braked away too.
    braking = np.array([1.0, 0.5 * ramp * dt]) / ((ticks - ramp) * dt)
    a = np.outer(-trapezoid, braking)
    a[:, 1] += fading
    v = np.zeros_like(a)
    v[0, 0] = 1.0
    v[1:] = v[0] + np.cumsum(a[:-1] + a[1:], axis=0) * (0.5 * dt)
    steps = v[:-1] * dt + (2.0 * a[:-1] + a[1:]) * (dt * dt / 6.0)
    q = np.vstack([np.zeros(2), np.cumsum(steps, axis=0)])
    return StopShape(q, v, a)
