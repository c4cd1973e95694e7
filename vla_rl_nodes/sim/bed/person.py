"""A scripted person at the bed: takes over when nothing gets better, and lets go again."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vla_rl_nodes.sim.bed.arm import ArmBed
from vla_rl_nodes.sim.bed.task import Vector


@dataclass(frozen=True)
class PersonSettings:
    """Ticks and metres.

    Attributes:
        stall: so many ticks ...
        headway_m: ... without this much less to go are a stall.
        setback_m: so much more to go than the least so far is a setback.
        reaction: ticks from there until he acts, at least and at most.
        helps: he lets go after so many ticks of help, at least and at most.
        noise: standard deviation of what his hand adds to each axis.
    """

    stall: int = 10
    headway_m: float = 0.01
    setback_m: float = 0.03
    reaction: tuple[int, int] = (4, 9)
    helps: tuple[int, int] = (8, 20)
    noise: float = 0.1


class BedPerson:
    """Call :meth:`start` with each episode and :meth:`act` at each of its ticks.

    Args:
        bed: the arm, which he sees wholly.
        seed: of everything that he draws.
        settings: how he is.
    """

    def __init__(self, bed: ArmBed, seed: int, settings: PersonSettings | None = None) -> None:
        self._bed, self._seed = bed, seed
        self._settings = settings or PersonSettings()
        self.start(0)

    def start(self, seed: int) -> None:
        """A new episode, with its seed; to be called before the bed's own."""
        self._rng = np.random.default_rng([self._seed, seed])
        self._left: list[float] = []
        self._wait: int | None = None  # ticks until he acts
        self._help = 0  # ticks that he still helps

    def act(self) -> Vector | None:
        """His action [A] of this tick; None where he leaves it to the policy."""
        s = self._settings
        if self._help:
            self._help -= 1
            if not self._help:
                self._left = []
            wanted = self._bed.expert()
            hand = self._rng.normal(0.0, s.noise, wanted.shape)
            if self._bed.task.gripper:
                hand[-1] = 0.0
            return np.asarray(wanted + hand)
        self._left.append(self._bed.task.left(self._bed.data, self._bed.tool))
        if self._wait is None and self._wrong():
            self._wait = int(self._rng.integers(*s.reaction))
        if self._wait is not None:
            self._wait -= 1
            if self._wait < 0:
                self._wait, self._help = None, int(self._rng.integers(*s.helps))
        return None

    def _wrong(self) -> bool:
        s, left = self._settings, self._left
        if left[-1] - min(left) > s.setback_m:
            return True
        return len(left) > s.stall and left[-1 - s.stall] - left[-1] < s.headway_m
