"""Watches the measured force and torque on the tool."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.safety.inputs import Inbox, Refusal, Vector
from vla_rl_nodes.safety.limits import SafetyLimits, WrenchRule, nanoseconds
from vla_rl_nodes.safety.reasons import Reason
from vla_rl_nodes.safety.state import Instant, Problem

Array = NDArray[np.float64]

NAMES = ("force_x", "force_y", "force_z", "torque_x", "torque_y", "torque_z")


class WrenchWatch:
    """The newest wrench, judged by the limits' rule; without a rule nothing is judged.

    Args:
        limits: the rule.
    """

    def __init__(self, limits: SafetyLimits) -> None:
        self._inbox = Inbox("wrench", NAMES, 0, 0, Reason.WRENCH)
        self._peak: Problem | None = None
        self.set_limits(limits)

    def set_limits(self, limits: SafetyLimits) -> None:
        """Takes the rule of new limits."""
        self.rule: WrenchRule | None = limits.wrench
        timeout_s = limits.joint_state_timeout_s if self.rule is None else self.rule.timeout_s
        self._inbox.max_age_ns = nanoseconds(timeout_s)
        self._inbox.future_ns = nanoseconds(limits.future_tolerance_s)

    def hear(
        self, stamp_ns: int, arrival: Instant, force: Vector, torque: Vector
    ) -> Refusal | None:
        """Takes what the surroundings do to the tool, along the base frame's axes: force [3]
        in N and torque [3] in N*m."""
        refusal = self._inbox.offer(stamp_ns, arrival, NAMES, [*force, *torque])
        if refusal is None:
            # Of several between two ticks, one that is too great must not be overlooked.
            self._peak = self._judge() or self._peak
        return refusal

    def stale(self, now: Instant) -> Problem | None:
        """What is wrong with the measurement, where there is a rule that relies on it."""
        return None if self.rule is None else self._inbox.problem(now)

    def excess(self) -> Problem | None:
        """What was too great about any wrench since the last call, the newest one among them."""
        peak, self._peak = self._peak or self._judge(), None
        return peak

    def way(self) -> Array:
        """The direction [3] in which the newest force pushes the tool, along the base frame's
        axes; zero unless that force is too great."""
        sample, rule = self._inbox.latest, self.rule
        if sample is None or rule is None:
            return np.zeros(3)
        force = sample.values[:3]
        length = float(np.linalg.norm(force))
        return force / length if length > rule.force_max else np.zeros(3)

    def _judge(self) -> Problem | None:
        sample, rule = self._inbox.latest, self.rule
        if sample is None or rule is None:
            return None
        force = float(np.linalg.norm(sample.values[:3]))
        torque = float(np.linalg.norm(sample.values[3:]))
        if not force <= rule.force_max:
            return Problem(Reason.WRENCH, f"the force on the tool is {force:.1f} N")
        if not torque <= rule.torque_max:
            return Problem(Reason.WRENCH, f"the torque on the tool is {torque:.1f} N*m")
        return None
