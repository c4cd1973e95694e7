"""The commanded velocity of a mobile base, within acceleration and jerk limits."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.robots.model import Robot
from vla_rl_nodes.safety.commanded import Commanded
from vla_rl_nodes.safety.limits import SafetyLimits
from vla_rl_nodes.safety.reasons import NONE, Reason
from vla_rl_nodes.safety.smoothing import Knot
from vla_rl_nodes.safety.stop import Plan, Stopping

Array = NDArray[np.float64]

ROUNDING = 1e-9


class BaseMotion(Commanded):
    """What is commanded to a mobile base: velocities along its x, its y and about its z.

    The difference to the wanted velocity is taken away as a stop would take away a speed, and
    every tick keeps a stop for the velocity that comes of it. ``plan.q`` counts what the
    velocities add up to, m and rad, as if the base did not turn: where the base is, is not known
    here. A velocity message cannot carry the stop, so on the loss of this process the base's own
    timeout (``robot.mobile_base.timeout_s``) has to end the motion.

    Args:
        robot: with a mobile base.
        limits: shares of its limits.
        dt: the filter's period, s.

    Raises:
        InputError: the robot has no mobile base.
    """

    def __init__(self, robot: Robot, limits: SafetyLimits, dt: float) -> None:
        super().__init__(np.zeros(3))
        base = robot.mobile_base
        if base is None:
            raise InputError(robot.name, "has no mobile base", "choose another kind of action")
        self._velocity_max = np.array(base.velocity)
        self._stopping = Stopping(
            np.array(base.acceleration) * limits.acceleration_scale,
            np.array(base.jerk) * limits.jerk_scale,
            dt,
        )
        self._way: Plan = self.plan
        self._wanted = np.full(3, np.nan)
        self.width: float | None = None
        self.tighten(limits)

    def tighten(self, limits: SafetyLimits) -> None:
        """Takes stricter limits, from the next tick on."""
        self._fastest = self._velocity_max * limits.velocity_scale

    def follow(self, reference: Array, width: float | None = None) -> Reason:
        """One tick towards the velocity ``reference`` [3]; a base has no gripper."""
        reasons = NONE
        wanted = np.clip(reference, -self._fastest, self._fastest)
        if (np.abs(wanted - reference) > ROUNDING).any():
            reasons |= Reason.JOINT_VELOCITY
        if (wanted != self._wanted).any():
            self._wanted = wanted
            zero = np.zeros(3)
            self._way = self._stopping.plan(zero, self._now.v - wanted, self._now.a)
        way = self._way = self._way.after()
        plan = self._stopping.plan(*self._knot(wanted + way.v[0], way.a[0]))
        if not self._admissible(plan):
            reasons |= Reason.UNVERIFIED_STOP
            self.stop()
        else:
            self._take(plan)
        return reasons

    def stop(self) -> None:
        """One tick along the stored stop."""
        self._wanted = np.full(3, np.nan)  # the way to it begins anew
        super().stop()

    def skip(self, ticks: int) -> None:
        """So many ticks were missed: meanwhile the base has held its last velocity, unless its own
        timeout has stopped it. It goes on from that velocity."""
        if ticks > 0:
            q, v = self._now.q + self._now.v * (ticks * self._stopping.dt), self._now.v
            self._take(self._stopping.plan(q, v, np.zeros(3)))
            self.restart_reference()

    def restart_reference(self) -> None:
        """The way to the wanted velocity begins anew."""
        self._wanted = np.full(3, np.nan)

    def _knot(self, v: Array, a: Array) -> Knot:
        now, dt = self._now, self._stopping.dt
        q = now.q + now.v * dt + (2.0 * now.a + a) * (dt * dt / 6.0)
        return Knot(q, v, a)

    def _admissible(self, plan: Plan) -> bool:
        now, stopping = self._now, self._stopping
        # The first tick; the stop's own accelerations are within limits by its construction.
        if not stopping.reaches(now.a, plan.a[0]):
            return False
        v = np.concatenate([now.v[None], plan.v])
        a = np.concatenate([now.a[None], plan.a])
        grown = v[:-1] + np.where(a[:-1] * a[1:] < 0.0, _peak(a[:-1], a[1:], stopping.dt), 0.0)
        most = np.maximum(np.abs(v).max(axis=0), np.abs(grown).max(axis=0))
        # After tightening it may be faster than it now may: then not faster than before.
        allowed = np.maximum(self._fastest, np.abs(now.v)) + ROUNDING
        return bool((most <= allowed).all())


def _peak(a: Array, after: Array, dt: float) -> Array:
    """What the velocity gains in a tick until the acceleration changes its sign."""
    change = np.where(after == a, 1.0, after - a)
    gained: Array = -a * a * (0.5 * dt) / change
    return gained
