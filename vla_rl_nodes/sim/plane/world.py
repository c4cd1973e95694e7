"""Episodes of the plane's three tasks, stepped side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.sim.plane.draws import draw
from vla_rl_nodes.sim.plane.state import GREATEST_ACTION, Array, PlaneState

OBSTACLE_RADIUS = 0.060  # metres from the obstacle's centre at which the tool touches it


@dataclass(frozen=True)
class Goal:
    """When an episode of a task is a success.

    Args:
        within: greatest distance of the tool from the object, metres.
        ticks: how long it must stay there without a break.
        limit: ticks that an episode may last: about 1.55 times the 95th percentile of the expert's
            without delay, a cycle-time limit.
    """

    within: float
    ticks: int
    limit: int


GOALS = {
    "kick": Goal(within=0.010, ticks=8, limit=52),
    "moving": Goal(within=0.015, ticks=12, limit=63),
    "two_ways": Goal(within=0.010, ticks=8, limit=84),
}


class PlaneWorld:
    """B episodes; each is drawn from its task and seed alone, whatever runs beside it.

    Args:
        tasks: names out of state.TASKS, one an episode.
        seeds: as many, not negative.
    """

    def __init__(self, tasks: Sequence[str], seeds: Sequence[int]) -> None:
        if len(tasks) != len(seeds) or not len(tasks):
            raise ValueError("give one seed for every task, and at least one")
        self.state, self._events = draw(tasks, seeds)
        goals = [GOALS[task] for task in tasks]
        self._within = np.array([goal.within for goal in goals])
        self._needed = np.array([goal.ticks for goal in goals])
        self._limit = np.array([goal.limit for goal in goals])
        count = len(tasks)
        self.tick = 0
        self.finished_at = np.full(count, -1, dtype=np.int64)
        self.success = np.zeros(count, dtype=np.bool_)
        self.touched = np.zeros(count, dtype=np.bool_)
        self._held = np.zeros(count, dtype=np.int64)

    @property
    def running(self) -> NDArray[np.bool_]:
        """Which episodes go on, bool [B]."""
        return self.finished_at < 0

    def step(self, action: Array) -> None:
        """One control tick with the actions [B, 2]; episodes that have ended stand still.

        Actions beyond the contract's bounds are cut off at them.
        """
        running = self.running
        bounded = np.clip(action, -GREATEST_ACTION, GREATEST_ACTION)
        moved = self._events.apply(self.state.after(bounded), self.tick + 1)
        self.state = _chosen(running, moved, self.state)
        self.tick += 1
        off = np.linalg.norm(self.state.tool - self.state.goal, axis=1)
        self._held = np.where(running & (off <= self._within), self._held + 1, 0)
        near = np.linalg.norm(self.state.tool - self.state.obstacle, axis=1) < OBSTACLE_RADIUS
        self.touched |= running & self.state.blocked & near
        self.success |= running & ~self.touched & (self._held >= self._needed)
        over = self.touched | self.success | (self.tick >= self._limit)
        self.finished_at[running & over] = self.tick


def _chosen(which: NDArray[np.bool_], first: PlaneState, second: PlaneState) -> PlaneState:
    """``first`` where ``which`` [B], else ``second``."""
    mixed = {}
    for name, value in vars(first).items():
        mask = which if value.ndim == 1 else which[:, None]
        mixed[name] = np.where(mask, value, getattr(second, name))
    return PlaneState(**mixed)
