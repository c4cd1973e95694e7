"""Watches the tilt of a legged robot's trunk."""

from __future__ import annotations

import math

from vla_rl_nodes.safety.inputs import Inbox, Refusal, Vector
from vla_rl_nodes.safety.limits import SafetyLimits, nanoseconds
from vla_rl_nodes.safety.reasons import Reason
from vla_rl_nodes.safety.state import Instant, Problem

NAMES = ("up_x", "up_y", "up_z")
LENGTH_ERROR_MAX = 0.01  # of a vector that should have length 1


class BodyWatch:
    """The newest direction of up, judged by the limits' rule; without a rule nothing is judged.

    The trunk's height is bounded where its joint targets are made, from the legs' kinematics.

    Args:
        limits: the rule.
    """

    def __init__(self, limits: SafetyLimits) -> None:
        self._inbox = Inbox("body's orientation", NAMES, 0, 0, Reason.BODY)
        self.set_limits(limits)

    def set_limits(self, limits: SafetyLimits) -> None:
        """Takes the rule of new limits."""
        self._rule = limits.body
        timeout_s = limits.joint_state_timeout_s if self._rule is None else self._rule.timeout_s
        self._inbox.max_age_ns = nanoseconds(timeout_s)
        self._inbox.future_ns = nanoseconds(limits.future_tolerance_s)

    def hear(self, stamp_ns: int, arrival: Instant, up: Vector) -> Refusal | None:
        """Takes the direction against gravity in the base frame, a vector [3] of length 1."""
        if len(up) == 3:
            length = math.sqrt(sum(float(x) ** 2 for x in up))
            if math.isfinite(length) and abs(length - 1.0) > LENGTH_ERROR_MAX:
                return Refusal(
                    Reason.BODY, f"body's orientation has length {length:.3g}, 1 is expected"
                )
        return self._inbox.offer(stamp_ns, arrival, NAMES, up)

    def problem(self, now: Instant) -> Problem | None:
        """A measurement that is missing or too old, or a trunk that is tilted too far."""
        if self._rule is None:
            return None
        stale = self._inbox.problem(now)
        if stale is not None:
            return stale
        assert self._inbox.latest is not None
        x, y, z = self._inbox.latest.values
        tilt = math.atan2(math.hypot(x, y), z)
        if not tilt <= self._rule.tilt_max:
            return Problem(Reason.BODY, f"the body is tilted by {tilt:.2f} rad")
        return None
