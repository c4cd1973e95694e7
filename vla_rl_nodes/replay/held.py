"""When an episode was held: paused, waiting for help, or taken back by the reset."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from vla_rl_nodes.episodes.machine import State
from vla_rl_nodes.replay.recording import EPISODE_STATE, Recording


@dataclass(frozen=True)
class Held:
    """The stretches of an episode in which the policy did not act, by the episode's own word.

    Attributes:
        starts_ns: ascending; a stretch begins with it.
        ends_ns: of the same stretches; the first instant behind each.
        acting_ns: since when the policy acted for the last time, to the end or until it was held
            again; None where the episode does not say that it ran.
    """

    starts_ns: Sequence[int]
    ends_ns: Sequence[int]
    acting_ns: int | None = None

    def holds(self, at_ns: int) -> bool:
        """Whether a time lies in one of them."""
        index = self.before(at_ns) - 1
        return index >= 0 and at_ns < self.ends_ns[index]

    def before(self, at_ns: int) -> int:
        """How many of them have begun by a time."""
        return bisect_right(self.starts_ns, at_ns)


def read_held(recording: Recording, end_ns: int) -> Held:
    """The stretches that ``episode/state`` tells of, up to the episode's end.

    Args:
        recording: the bag's messages.
        end_ns: the episode's last instant.
    """
    starts: list[int] = []
    ends: list[int] = []
    acting_ns: int | None = None
    acting = False
    for event in sorted(recording.events(EPISODE_STATE), key=lambda event: event.stamp_ns):
        if event.values.get("episode_id") != recording.episode_id or event.stamp_ns >= end_ns:
            continue
        running = event.message == State.RUNNING.value
        told = running and "1" in (event.values.get("paused"), event.values.get("retreating"))
        if told and len(starts) == len(ends):
            starts.append(event.stamp_ns)
        elif not told and len(starts) > len(ends):
            ends.append(event.stamp_ns)
        if running and not told and not acting:
            acting_ns = event.stamp_ns
        acting = running and not told
    if len(starts) > len(ends):
        ends.append(end_ns)
    return Held(starts, ends, acting_ns)
