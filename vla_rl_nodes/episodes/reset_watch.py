"""How long a reset or a retreat may be silent, last, or wait for a person."""

from __future__ import annotations

from dataclasses import dataclass

from vla_rl_nodes.episodes.stopwatch import Stopwatch


@dataclass(frozen=True)
class ResetLimits:
    """Seconds.

    Attributes:
        silence_s: between two heartbeats of the reset, and before the first one.
        limit_s: of the whole, without what it waited for a person or was paused.
        ask_s: that a person may take from when the reset asks for one; 0: for ever.
    """

    silence_s: float = 10.0
    limit_s: float = 600.0
    ask_s: float = 0.0


class ResetWatch:
    """Follows one reset by its heartbeats; times are monotonic nanoseconds.

    Args:
        what: goes before every reason, such as ``reset``.
    """

    def __init__(self, limits: ResetLimits, what: str) -> None:
        self._limits, self._what = limits, what
        self._heard_ns = 0
        self._asking = self._held = False
        self._lasts, self._asks = Stopwatch(), Stopwatch()

    def begin(self, now_ns: int) -> None:
        """It was asked for."""
        self._heard_ns, self._asking, self._held = now_ns, False, False
        self._lasts.restart(now_ns)
        self._asks.restart(now_ns, going=False)

    def heard(self, now_ns: int, asking: bool) -> None:
        """A heartbeat; ``asking`` while it waits for a person."""
        self._heard_ns = now_ns
        if asking and not self._asking:
            self._asks.restart(now_ns)
        self._asking = asking
        self._count(now_ns)

    def hold(self, held: bool, now_ns: int) -> None:
        """The episode is paused: what that takes counts for neither limit."""
        self._held = held
        self._count(now_ns)

    def _count(self, now_ns: int) -> None:
        self._lasts.go(not self._asking and not self._held, now_ns)
        self._asks.go(self._asking and not self._held, now_ns)

    def problem(self, now_ns: int) -> str:
        """Why it is given up now; empty while it may go on."""
        silent = (now_ns - self._heard_ns) / 1e9
        if silent > self._limits.silence_s:
            return f"the {self._what} was silent for {silent:.1f} s"
        if self._asking and 0.0 < self._limits.ask_s < self._asks.seconds(now_ns):
            return f"nobody answered the {self._what} within {self._limits.ask_s:g} s"
        if self._lasts.seconds(now_ns) > self._limits.limit_s:
            return f"the {self._what} took more than {self._limits.limit_s:g} s"
        return ""
