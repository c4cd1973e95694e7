"""The emergency stop's input: it latches, and only an explicit reset unlatches it."""

from __future__ import annotations

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.safety.limits import SafetyLimits, nanoseconds
from vla_rl_nodes.safety.reasons import Reason
from vla_rl_nodes.safety.state import Instant, Problem

MAIN = "safety/e_stop"  # the button that the limits' heartbeat is asked of


class EStop:
    """What is known of the emergency stop; a convenience, not the hardware's own stop.

    Each button is a topic, and each has to be released by itself: what one says takes back nothing
    that another has said. Where the limits give :data:`MAIN` a heartbeat, its silence for longer
    counts as pressed.

    Args:
        limits: the heartbeat.
    """

    def __init__(self, limits: SafetyLimits) -> None:
        self.latched = False
        self._pressed: set[str] = set()
        self._heard_ns: int | None = None
        self._due_since_ns = 0
        self._timeout_ns: int | None = None
        self.set_limits(limits, Instant(0, 0))

    def set_limits(self, limits: SafetyLimits, now: Instant) -> None:
        """Takes the heartbeat of new limits; one that was not due before is due from ``now``."""
        timeout_s = limits.e_stop_timeout_s
        if self._timeout_ns is None:
            self._due_since_ns = now.steady_ns
        self._timeout_ns = None if timeout_s is None else nanoseconds(timeout_s)

    def hear(self, pressed: bool, now: Instant, button: str = MAIN) -> Problem | None:
        """Takes a button's word; pressed, it latches, and the first time that is a problem."""
        if button == MAIN:
            self._heard_ns = now.steady_ns
        if not pressed:
            self._pressed.discard(button)
            return None
        self._pressed.add(button)
        return self._latch("the emergency stop is pressed")

    def watch(self, now: Instant) -> Problem | None:
        """Latches on a missing heartbeat, and the first time that is a problem."""
        missing = self._missing(now)
        return None if missing is None else self._latch(missing)

    def refuse_arming(self, now: Instant) -> None:
        """Passes when nothing speaks against arming.

        Raises:
            InputError: latched, or the heartbeat is missing.
        """
        if self.latched:
            raise InputError("arm", "the emergency stop is latched", "release and reset it")
        missing = self._missing(now, heard=True)
        if missing is not None:
            raise InputError("arm", missing, "check the emergency stop's publisher")

    def reset(self, now: Instant, *, moving: bool) -> None:
        """Unlatches.

        Raises:
            InputError: still pressed, the heartbeat is missing, or the robot is ``moving``.
        """
        place = "reset of the emergency stop"
        if moving:
            raise InputError(place, "the robot is armed, or not at rest yet", "wait for its rest")
        if self._pressed:
            buttons = ", ".join(sorted(self._pressed))
            raise InputError(place, f"it is still pressed: {buttons}", "release it")
        missing = self._missing(now, heard=True)
        if missing is not None:
            raise InputError(place, missing, "check its publisher")
        self.latched = False

    def _latch(self, why: str) -> Problem | None:
        if self.latched:
            return None
        self.latched = True
        return Problem(Reason.E_STOP, why)

    def _missing(self, now: Instant, *, heard: bool = False) -> str | None:
        """What is wrong with the heartbeat, where one is due; ``heard``: it must have come."""
        if self._timeout_ns is None:
            return None
        if self._heard_ns is None and heard:
            return "the emergency stop's heartbeat has not come"
        last_ns = self._due_since_ns if self._heard_ns is None else self._heard_ns
        age_ns = now.steady_ns - last_ns
        if age_ns > self._timeout_ns:
            return f"the emergency stop's heartbeat is {age_ns / 1e6:.0f} ms old"
        return None
