"""What controllers do by themselves while no command comes, and what is nobody's fault then."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Controller = Literal["trajectory", "positions", "velocities"]

# What a joint that coasts may run into before anybody can brake it, and may not run into further.
PLACES = (
    "position", "velocity", "self_collision", "plane", "obstacle", "workspace", "tool_speed",
    "height",
)  # fmt: skip
ROUNDING = 1e-6  # rad, m or rad/s


class Violation(NamedTuple):
    """A bound that the commanded motion broke.

    Attributes:
        kind: such as ``jerk``, ``self_collision`` or ``rest``.
        tick: at which the plan came, counted from the judge's beginning.
        tail: whether in the part of the plan that another plan replaced.
        excess: by how much, in the bound's unit.
        detail: of what.
    """

    kind: str
    tick: int
    tail: bool
    excess: float
    detail: str


def gone_on(
    controller: Controller, q: Array, v: Array, seconds: float
) -> tuple[Array, Array] | None:
    """Where a controller is that heard nothing for so long: position, velocity [n].

    None: it went on along its plan. One that is given positions stands still at the last, at
    once; one that is given velocities goes on at the last.
    """
    if controller == "positions":
        return q, np.zeros(len(q))
    if controller == "velocities":
        return q + seconds * v, v
    return None


class Leeway:
    """What is held against the filter after a controller coasted to where nothing was verified.

    The best that can be done from there is the stop that the first plan after it leads through.
    What that one runs into is excused. Later plans may come as far, but not further, until the
    robot coasts again or is armed anew.
    """

    def __init__(self) -> None:
        self.excused = 0
        self._begins: deque[int] = deque()
        self._unheard: set[int] = set()
        self._allowed: dict[tuple[str, str], float] = {}

    def coasted(self, tick: int) -> None:
        """The plan of this tick is the first after the robot coasted."""
        self._begins.append(tick)
        self._unheard.add(tick)

    def follows(self, tick: int) -> None:
        """The plan of this tick is what was left of the one before."""
        if tick - 1 in self._unheard:
            self._unheard.add(tick)

    def armed(self, tick: int) -> None:
        """From this tick on nothing is excused."""
        self._begins.append(tick)

    def judge(self, found: Sequence[Violation], ticks: int) -> list[Violation]:
        """What is left of all that was found in the ticks up to ``ticks`` since the last call."""
        left: list[Violation] = []
        for violation in sorted(found, key=lambda one: one.tick):
            self._begin(violation.tick)
            place = (violation.kind, violation.detail)
            if violation.kind not in PLACES:
                left.append(violation)
            elif violation.tick in self._unheard:
                self._allowed[place] = max(self._allowed.get(place, 0.0), violation.excess)
                self.excused += 1
            elif violation.excess <= self._allowed.get(place, -1.0) + ROUNDING:
                self.excused += 1
            else:
                left.append(violation)
        self._begin(ticks)
        self._unheard &= {ticks - 1}
        return left

    def _begin(self, tick: int) -> None:
        """Forgets what was allowed before the newest beginning up to a tick."""
        while self._begins and self._begins[0] <= tick:
            self._begins.popleft()
            self._allowed.clear()
