"""Counts interventions the way a bag shows them, each beginning and end once."""

from __future__ import annotations

from typing import Literal, NamedTuple

Kind = Literal["start", "end"]


class Edge(NamedTuple):
    """A beginning or an end, and the control tick that it belongs to.

    ``stamp_ns`` is the first tick that carries the person's action, or the last one.
    """

    kind: Kind
    stamp_ns: int
    episode_id: str


class Edges:
    """An intervention begins with the person's first action at a policy's tick.

    It ends with the last one before an action of somebody else is executed, or before the
    episode ends. A person who lets go and takes hold again in between has intervened once.

    Attributes:
        count: how many began in this episode.
    """

    def __init__(self) -> None:
        self.count = 0
        self._episode_id = ""
        self._last_ns: int | None = None  # of the intervention under way

    def episode(self, running_id: str | None) -> Edge | None:
        """Follows the running episode; the end that its own end makes."""
        if running_id == self._episode_id or (running_id is None and not self._episode_id):
            return None
        edge = self._end()
        self._episode_id = running_id or ""
        if running_id is not None:
            self.count = 0
        return edge

    def commanded(self, stamp_ns: int) -> Edge | None:
        """The person's action carries the policy's tick ``stamp_ns``; a beginning, perhaps."""
        if not self._episode_id:
            return None
        began, self._last_ns = self._last_ns is None, stamp_ns
        if not began:
            return None
        self.count += 1
        return Edge("start", stamp_ns, self._episode_id)

    def others(self, stamp_ns: int) -> Edge | None:
        """Somebody else's action of the tick ``stamp_ns`` was executed; an end, perhaps."""
        if self._last_ns is None or stamp_ns <= self._last_ns:
            return None
        return self._end()

    def _end(self) -> Edge | None:
        last_ns, self._last_ns = self._last_ns, None
        return None if last_ns is None else Edge("end", last_ns, self._episode_id)
