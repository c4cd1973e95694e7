"""Whether, and when, the next episode begins without an operator."""

from __future__ import annotations

from vla_rl_nodes.episodes.machine import Cause, State

_FIRST = "the operator starts the first episode"


class Automatic:
    """Goes on after an episode that ended by itself, and says why it does not.

    An operator's start is what lets it go on again after anything that stopped it. It never goes
    on after an emergency stop, a filter that faulted or was disarmed, an operator's abort or
    discard, or a reset that failed; after other aborts only up to ``aborts_max`` in a row. Times
    are monotonic nanoseconds.

    Args:
        pause_s: from an episode's end to the next start.
        aborts_max: how many aborts in a row it goes on after.

    Attributes:
        enabled: whether it was asked to go on at all.
        pause_s: see above; may be changed.
    """

    def __init__(self, pause_s: float, aborts_max: int) -> None:
        self.enabled = False
        self.pause_s = pause_s
        self._aborts_max = aborts_max
        self._aborts = 0
        self._stopped = _FIRST
        self._due_from_ns: int | None = None

    @property
    def off(self) -> str:
        """Why no next episode begins by itself; empty where one does, or nobody asked for it."""
        return self._stopped if self.enabled else ""

    def started(self, by_operator: bool) -> None:
        """An episode begins."""
        self._due_from_ns = None
        if by_operator:
            self._aborts, self._stopped = 0, ""

    def stop(self, reason: str) -> None:
        """No next episode until an operator starts one; the first reason stays."""
        self._stopped = self._stopped or reason

    def ended(self, outcome: State, cause: Cause | None, reason: str, now_ns: int) -> None:
        """The episode under way has come to an outcome."""
        self._due_from_ns = now_ns
        if not self.enabled:
            # Asked for later, it would begin at once, and nobody may expect it then.
            self._stopped = _FIRST
            return
        if outcome is not State.ABORTED:
            self._aborts = 0
            return
        self._aborts += 1
        if cause in (Cause.OPERATOR, Cause.STOP, Cause.RESET):
            self.stop(reason)
        elif self._aborts > self._aborts_max:
            self.stop(f"{self._aborts} aborted in a row: {reason}")

    def resumed(self, now_ns: int) -> None:
        """A pause is over: the time to the next start counts from here."""
        if self._due_from_ns is not None:
            self._due_from_ns = now_ns

    def due(self, now_ns: int) -> bool:
        """Whether the next episode is to begin now."""
        if not self.enabled or self._stopped or self._due_from_ns is None:
            return False
        return (now_ns - self._due_from_ns) / 1e9 >= self.pause_s
