"""How long an episode may still run, from what the episode node says."""

from __future__ import annotations

from vla_rl_nodes.episodes.stopwatch import Stopwatch
from vla_rl_nodes.operator.said import Said

RUNNING = "running"


class RunClock:
    """Counts a running episode without its pauses, on the nodes' clock.

    A page that was started in mid-episode counts from the last change that it was told of.
    """

    def __init__(self) -> None:
        self._watch = Stopwatch()
        self._episode: str | None = None
        self._limit_s: float | None = None

    def hear(self, said: Said) -> None:
        """An ``episode/state``."""
        if said.message != RUNNING:
            self._episode = None
            return
        going = not said.flag("paused")
        if said.values.get("episode_id", "") != self._episode:
            self._episode = said.values.get("episode_id", "")
            self._watch.restart(said.stamp_ns, going)
        else:
            self._watch.go(going, said.stamp_ns)
        self._limit_s = said.number("time_limit_s")

    def left_s(self, now_ns: int) -> float | None:
        """Seconds to the time limit; None while nothing runs, or no limit is known."""
        if self._episode is None or self._limit_s is None:
            return None
        return max(0.0, self._limit_s - self._watch.seconds(now_ns))
