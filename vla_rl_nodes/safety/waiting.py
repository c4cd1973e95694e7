"""What keeps an armed robot at rest for a while: an enabling switch let go, or a pause."""

from __future__ import annotations

from vla_rl_nodes.safety.deadman import Deadman
from vla_rl_nodes.safety.reasons import Reason
from vla_rl_nodes.safety.state import Instant, Problem


class Waiting:
    """Whether the robot is on its way to rest, or waits there, until it may go on.

    Once begun it lasts until the robot has come to rest, however soon the reason is gone.

    Args:
        deadman: the enabling switch.
    """

    def __init__(self, deadman: Deadman) -> None:
        self.paused = False  # by order
        self._deadman = deadman
        self._since: Problem | None = None  # why it waits; None while it does not

    def begin(self) -> None:
        """The robot is armed, at rest."""
        self._since = None

    def why(self, now: Instant) -> Problem | None:
        """What keeps it from going on at ``now``."""
        if self._deadman.released(now):
            return Problem(Reason.DEADMAN, "the enabling switch is not held")
        if self.paused:
            return Problem(Reason.PAUSED, "the episode is paused")
        return self._since

    def tick(self, now: Instant, at_rest: bool) -> tuple[Problem | None, bool]:
        """Why it waits in this tick, if it does, and whether that has begun in this tick."""
        before, self._since = self._since, None
        why = self.why(now)
        if why is None and before is not None and not at_rest:
            why = before
        self._since = why
        return why, why is not None and before is None
