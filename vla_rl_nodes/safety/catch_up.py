"""The way back onto a reference that the commanded motion has been kept from."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import ruckig
from numpy.typing import NDArray

Array = NDArray[np.float64]

HORIZONS = (3, 4, 5, 6, 8, 10, 13, 16)  # numbers of ticks in which a joint may arrive exactly
LEAST_SHARE = 0.3  # of the jerk limit that an arrival may use, whatever the reference needs
LEAST_SPEED = 0.05  # of the velocity limit, against a reference that is at the limit itself


class CatchUp:
    """Takes each joint back onto its moving reference, in about the shortest time.

    From afar by Ruckig (Berscheid and Kroeger 2021), the time-optimal way within velocity,
    acceleration and jerk limits, as if the reference went on steadily. Once a joint can arrive
    within a few ticks, with the least squares of jerk and whole ticks of constant jerk, so that
    it meets its reference exactly and stays on it.

    Args:
        dt: the filter's period, s.
        velocity, acceleration, jerk: limits [n].
    """

    def __init__(self, dt: float, velocity: Array, acceleration: Array, jerk: Array) -> None:
        self._dt, self._velocity = dt, velocity
        self._acceleration, self._jerk = acceleration, jerk
        self._limit = np.stack([jerk, acceleration])[:, None]
        self._least = LEAST_SHARE * jerk
        self._ways = _ways_back(dt)
        # From rest no joint can come this far in the longest of the horizons.
        self._far = acceleration * (HORIZONS[-1] * dt) ** 2 / 4.0
        joints = len(velocity)
        self._ruckig = ruckig.Ruckig(joints)
        self._problem = ruckig.InputParameter(joints)
        self._problem.synchronization = ruckig.Synchronization.No
        self._problem.max_acceleration = acceleration.tolist()
        self._problem.max_jerk = jerk.tolist()
        for name in ("target_position", "target_velocity", "target_acceleration"):
            setattr(self._problem, name, [0.0] * joints)
        self._way = ruckig.Trajectory(joints)

    def acceleration(self, error: Array, a: Array, reference: Array, j: Array) -> Array:
        """What the acceleration should be after this tick [n]; the velocity is not bounded yet.

        Args:
            error: position and velocity of the motion less the reference's [2, n].
            a: acceleration of the motion [n].
            reference: velocity and acceleration of the reference [2, n].
            j: jerk of the reference in this tick [n].
        """
        led_a = reference[1]
        able = (np.abs(led_a) <= self._acceleration) & (np.abs(j) <= self._jerk)
        led_a, led_j = np.where(able, led_a, 0.0), np.where(able, j, 0.0)
        if (np.abs(error[0]) > self._far).all():
            return self._shortest(error, a, reference[0])
        jerk, arrives = self._arrival(np.vstack([error, a - led_a]), led_a, led_j)
        wanted = a + (led_j + jerk) * self._dt
        if arrives.all():
            return wanted
        return np.where(arrives, wanted, self._shortest(error, a, reference[0]))

    def _arrival(self, error: Array, a: Array, j: Array) -> tuple[Array, NDArray[np.bool_]]:
        """Jerk to add to the reference's [n], and which joints can arrive within limits."""
        used = np.stack([j, a])[:, None]
        up, down = self._limit - used, self._limit + used
        up[0], down[0] = np.maximum(up[0], self._least), np.maximum(down[0], self._least)
        ways = self._ways.ways @ error
        peaks = np.maximum.reduceat(ways, self._ways.starts).reshape(2, len(HORIZONS), -1)
        lows = np.minimum.reduceat(ways, self._ways.starts).reshape(2, len(HORIZONS), -1)
        fits = np.asarray(((peaks <= up) & (lows >= -down)).all(axis=0))
        jerk: Array = (self._ways.first[np.argmax(fits, axis=0)] * error.T).sum(axis=1)
        return jerk, np.asarray(fits.any(axis=0))

    def _shortest(self, error: Array, a: Array, v: Array) -> Array:
        """Acceleration after this tick [n] on the shortest way to a steady reference."""
        problem, least = self._problem, LEAST_SPEED * self._velocity
        problem.current_position, problem.current_velocity = error[0].tolist(), error[1].tolist()
        problem.current_acceleration = a.tolist()
        problem.max_velocity = np.maximum(self._velocity - v, least).tolist()
        problem.min_velocity = (-np.maximum(self._velocity + v, least)).tolist()
        result = self._ruckig.calculate(problem, self._way)
        if result not in (ruckig.Result.Working, ruckig.Result.Finished):
            # It refuses some states beyond the limits: brake towards the reference's velocity.
            brake: Array = np.clip(-error[1] / self._dt, -self._acceleration, self._acceleration)
            return brake
        after: Array = np.array(self._way.at_time(self._dt)[2])
        return after


class WaysBack(NamedTuple):
    """How an error of unit position, velocity and acceleration is taken to zero.

    Attributes:
        first: [horizons, 3] the first jerk.
        ways: [rows, 3] the jerks of every way, then the accelerations.
        starts: [2 * horizons] the row where each of them begins.
    """

    first: Array
    ways: Array
    starts: NDArray[np.intp]


@lru_cache(maxsize=8)
def _ways_back(dt: float) -> WaysBack:
    ways = [way_back(ticks, dt) for ticks in HORIZONS]
    rows = [way[kind] for kind in (0, 1) for way in ways]
    starts = np.cumsum([0, *(len(row) for row in rows[:-1])])
    return WaysBack(np.stack([way[0][0] for way in ways]), np.concatenate(rows), starts)


def way_back(ticks: int, dt: float) -> Array:
    """[2, ticks, 3]: the least-squares jerks that take a triple integrator's error to zero, for
    unit position, velocity and acceleration, and the accelerations that follow."""
    # In units of a tick, which keeps the numbers alike: position, velocity * dt, ...
    step = np.array([[1.0, 1.0, 0.5], [0.0, 1.0, 1.0], [0.0, 0.0, 1.0]])
    push = np.array([1.0 / 6.0, 0.5, 1.0])
    # Column k: what a unit jerk in tick k has become at the end.
    reached = np.empty((3, ticks))
    carried = push
    for k in range(ticks - 1, -1, -1):
        reached[:, k] = carried
        carried = step @ carried
    unit = np.diag([1.0, dt, dt * dt])
    jerk = -np.linalg.pinv(reached) @ np.linalg.matrix_power(step, ticks)
    states = [np.eye(3)]
    for k in range(ticks):
        states.append(step @ states[-1] + np.outer(push, jerk[k]))
    after = np.array(states[1:])
    return np.stack([jerk @ unit / dt**3, after[:, 2] @ unit / dt**2])
