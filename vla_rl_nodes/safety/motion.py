"""The commanded motion: follows the reference, and always keeps a verified stop."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.robots.kinematics import Kinematics
from vla_rl_nodes.robots.model import Robot
from vla_rl_nodes.safety.admissible import Admissible, Verdict
from vla_rl_nodes.safety.catch_up import CatchUp
from vla_rl_nodes.safety.clearance import Clearance
from vla_rl_nodes.safety.commanded import Commanded
from vla_rl_nodes.safety.limits import SafetyLimits
from vla_rl_nodes.safety.projection import StepProjection
from vla_rl_nodes.safety.reasons import NONE, Reason
from vla_rl_nodes.safety.smoothing import Knot, Smoother
from vla_rl_nodes.safety.state import Missed
from vla_rl_nodes.safety.stop import Plan, Stopping, resting

Array = NDArray[np.float64]

PROJECTIONS = 2  # how often a step is projected before the stored stop is taken
ON_TRACK = 1e-9  # rad, rad/s: what rounding makes of a motion that is on its reference


class Motion(Commanded):
    """What is commanded to a robot's joints, one filter tick at a time; begins at rest.

    The invariant: ``plan`` is always a motion to rest, from the knot just commanded, whose every
    tick was verified. A tick takes the first knot of a newly verified plan, or the next knot of
    the stored one.

    Args:
        robot: joint limits.
        kinematics: of that robot.
        clearance: its distances.
        limits: what is allowed.
        dt: the filter's period, s.
        q: where the robot is, at rest [n], rad.
        width: the gripper's opening, m; None without a gripper.
        missed: what the controller does in ticks that are missed.
    """

    def __init__(
        self,
        robot: Robot,
        kinematics: Kinematics,
        clearance: Clearance,
        limits: SafetyLimits,
        dt: float,
        q: Array,
        width: float | None = None,
        missed: Missed = Missed.PLAN,
    ) -> None:
        super().__init__(q)
        self._robot, self._dt, self._missed = robot, dt, missed
        self.width = width
        clearance.restart(q)
        self._stopping = Stopping(
            robot.acceleration_max * limits.acceleration_scale,
            robot.jerk_max * limits.jerk_scale,
            dt,
        )
        self._admissible = Admissible(robot, kinematics, clearance, limits, self._stopping)
        self._projection = StepProjection(robot, clearance, limits, self._stopping)
        self._smoother = Smoother(max(round(limits.smoothing_s / dt), 1), dt, q)
        self._led = self._now
        self.tighten(limits)

    def tighten(self, limits: SafetyLimits) -> None:
        """Takes stricter limits, from the next tick on."""
        self._admissible.tighten(limits)
        self._projection.tighten(limits)
        self._fastest = self._robot.velocity_max * limits.velocity_scale
        self._catch_up = CatchUp(
            self._dt, self._fastest, self._stopping.acceleration, self._stopping.jerk
        )
        self._width_step = 0.0
        if self._robot.gripper is not None:
            speed = self._robot.gripper.speed_max
            if limits.gripper_speed is not None:
                speed = min(speed, limits.gripper_speed)
            self._width_step = speed * self._dt

    def follow(self, reference: Array, width: float | None = None) -> Reason:
        """One tick after the joint reference [n], which is linear within the tick.

        Returns:
            What had to be changed, NONE where the smoothed reference itself is commanded; with
            UNVERIFIED_STOP the stored stop was followed instead of a new step.
        """
        led, self._led = self._led, self._smoother.advance(reference)
        knot, reasons = self._led, NONE
        if not self._on_track(led):
            knot = self._knot(self._way_back(led))
        elif not self._stopping.reaches(self._now.a, knot.a):
            knot, reasons = self._knot(self._way_back(led)), Reason.JOINT_ACCELERATION
        wanted = knot.a
        plan = self._stopping.plan(*knot)
        verdict = self._admissible.verdict(self._now, plan)
        reasons |= verdict.reasons
        if verdict.reasons:
            found = self._nearest(wanted, plan, verdict)
            if found is None:
                reasons |= Reason.UNVERIFIED_STOP
                found = self.plan.after()
            plan = found
        self._take(plan)
        if self.width is not None and width is not None:
            step = width - self.width
            self.width += min(max(step, -self._width_step), self._width_step)
        return reasons

    def skip(self, ticks: int) -> None:
        """So many ticks were missed: the motion goes on from where the controller has gone.

        Along the stored stop all is verified. A controller that held the last position has
        stopped there at once, and the motion begins anew; one that coasted has left what was
        verified, so what is stored then is only the stop from there.
        """
        if ticks <= 0:
            return
        now = self._now
        if self._missed is Missed.HOLD:
            self._take(resting(now.q))
        elif self._missed is Missed.COAST:
            q = now.q + now.v * (ticks * self._dt)
            self._take(self._stopping.plan(q, now.v, np.zeros(len(q))))
        else:
            self._take(self.plan.after(ticks))

    def restart_reference(self) -> None:
        """The reference begins anew, at rest where the motion is."""
        self._smoother.restart(self._now.q)
        zero = np.zeros(len(self._now.q))
        self._led = Knot(self._now.q.copy(), zero, zero)

    def _on_track(self, led: Knot) -> bool:
        """Whether the motion is where the smoothed reference was one tick ago."""
        return all(
            bool((np.abs(mine - its) <= ON_TRACK * scale).all())
            for mine, its, scale in zip(self._now, led, (1.0, 1.0, 1.0 / self._dt), strict=True)
        )

    def _way_back(self, led: Knot) -> Array:
        """Acceleration at the next knot [n] that takes the motion back onto the reference."""
        now, stopping, dt = self._now, self._stopping, self._dt
        error = np.stack([now.q - led.q, now.v - led.v])
        jerk = (self._led.a - led.a) / dt
        wanted = self._catch_up.acceleration(error, now.a, np.stack([led.v, led.a]), jerk)
        lower, upper = stopping.room(now.v, now.a, -self._fastest, self._fastest)
        nearest: Array = np.maximum(np.minimum(wanted, upper), lower)
        return nearest

    def _knot(self, a: Array) -> Knot:
        """The next knot, at whose end the acceleration is ``a`` [n]."""
        now, dt = self._now, self._dt
        v = now.v + (now.a + a) * (0.5 * dt)
        q = now.q + now.v * dt + (2.0 * now.a + a) * (dt * dt / 6.0)
        return Knot(q, v, a)

    def _nearest(self, wanted: Array, plan: Plan, verdict: Verdict) -> Plan | None:
        """The nearest admissible plan that a few projections find."""
        for _ in range(PROJECTIONS):
            a = self._projection.nearest(self._now, wanted, plan, verdict.rows)
            if a is None:
                return None
            plan = self._stopping.plan(*self._knot(a))
            verdict = self._admissible.verdict(self._now, plan)
            if not verdict.reasons:
                return plan
        return None
