"""What is killed, cut, stalled and slowed, when, and for how long: all of it from one seed."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np


class Kind(StrEnum):
    """What happens. The first three count as kills and cuts."""

    KILL_LEARNER = "kill_learner"
    KILL_ROBOT = "kill_robot"
    CUT = "cut"
    STALL = "stall"
    SLOW = "slow"


COUNTED = (Kind.KILL_LEARNER, Kind.KILL_ROBOT, Kind.CUT)
_SHARES = {
    Kind.KILL_LEARNER: 0.30, Kind.KILL_ROBOT: 0.30, Kind.CUT: 0.28, Kind.STALL: 0.06,
    Kind.SLOW: 0.06,
}  # fmt: skip
_EARLY = 0.2


@dataclass(frozen=True)
class Event:
    """One thing that goes wrong.

    Attributes:
        number: from 0.
        kind: what.
        robot: index of the robot or its link.
        wait_s: after the event before it, or after the process is up.
        early: whether a process is killed even while it starts.
        lasts_s: how long the process stays dead, or the link stalled or slow; 0 for a cut.
    """

    number: int
    kind: Kind
    robot: int
    wait_s: float
    early: bool
    lasts_s: float


def plan(seed: int, kills: int, robots: int) -> list[Event]:
    """Events until so many of them are kills and cuts."""
    generator = np.random.default_rng([seed, 5])
    events: list[Event] = []
    counted = 0
    while counted < kills:
        kind = list(_SHARES)[generator.choice(len(_SHARES), p=list(_SHARES.values()))]
        lasts = {Kind.CUT: 0.0, Kind.STALL: 1.5, Kind.SLOW: 1.5}.get(kind, 0.3)
        events.append(
            Event(
                len(events), kind, int(generator.integers(robots)),
                float(generator.uniform(0.05, 0.85)),
                bool(generator.random() < _EARLY), float(generator.uniform(0.0, lasts)),
            )
        )  # fmt: skip
        counted += kind in COUNTED
    return events
