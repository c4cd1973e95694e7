"""The enabling switch: without it held, nothing is commanded."""

from __future__ import annotations

from vla_rl_nodes.safety.limits import SafetyLimits, nanoseconds
from vla_rl_nodes.safety.state import Instant


class Deadman:
    """Whether the enabling switch is held; without one in the limits it always counts as held.

    Args:
        limits: how often it must be heard.
    """

    def __init__(self, limits: SafetyLimits) -> None:
        self._held_ns: int | None = None  # when it was last heard to be held
        self.set_limits(limits)

    def set_limits(self, limits: SafetyLimits) -> None:
        """Takes the timeout of new limits."""
        timeout_s = limits.deadman_timeout_s
        self._timeout_ns = None if timeout_s is None else nanoseconds(timeout_s)

    def hear(self, held: bool, now: Instant) -> None:
        """Takes the switch's state."""
        self._held_ns = now.steady_ns if held else None

    def released(self, now: Instant) -> bool:
        """Whether the switch is due and is not held, or was not heard for too long."""
        if self._timeout_ns is None:
            return False
        return self._held_ns is None or now.steady_ns - self._held_ns > self._timeout_ns
