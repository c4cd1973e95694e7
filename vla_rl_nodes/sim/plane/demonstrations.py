"""Training rows from the plane's expert, with the actions that are already committed.

A policy that runs asynchronously continues actions which were planned on an older observation,
maybe before the object was kicked away. So the expert is run late here, as the policy will be:
every row holds an observation, some rows of the plan that was running then, and how the expert
goes on after them with what it sees now.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.sim.plane.draws import draw
from vla_rl_nodes.sim.plane.expert import Expert
from vla_rl_nodes.sim.plane.state import GREATEST_ACTION, LAG, TASKS, Array, PlaneState

CHUNK_LENGTH, MAX_DELAY = 16, 6  # the contract's
REPLAN_EVERY = 4
LARGEST_SEED = 1_000_000_000  # of an episode here; whoever evaluates takes larger ones


@dataclass(frozen=True)
class DemonstrationSettings:
    """How the demonstrations are disturbed, and which rows are kept."""

    ticks: int = 64  # an episode's length, whether it succeeds or not
    shares: tuple[float, float, float] = (0.28, 0.39, 0.33)  # of the tasks, as in TASKS
    # Shares of the rows with 0, 1, ... committed actions; many are harder to continue from.
    delays: tuple[float, ...] = (0.28, 0.08, 0.08, 0.10, 0.12, 0.15, 0.19)
    noise: float = 0.0006  # greatest level of the plan's error, metres per tick
    correlation: float = 0.7  # of that error from one row to the next
    surprise: float = 0.03  # chance per tick of a jump or turn beyond the task's own
    again: int = 3  # further rows of a state from which both ways round are about as good
    underway: float = 0.3  # share of `two_ways` that starts in motion towards the obstacle


@dataclass(frozen=True)
class Rows:
    """N training rows.

    Attributes:
        state: observation, float32 [N, 18].
        delay: committed actions, 0 to MAX_DELAY, int64 [N].
        episode: which episode the row is from, int64 [N].
        chunk: committed actions and then the expert's, metres per tick, float32 [N, H, 2].
    """

    state: NDArray[np.float32]
    delay: NDArray[np.int64]
    episode: NDArray[np.int64]
    chunk: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.delay)


def demonstrations(
    episodes: int, seed: int, settings: DemonstrationSettings | None = None
) -> Rows:
    """Rows of that many episodes; the same seed gives the same rows.

    One for every tick, and ``settings.again`` more where the way round the obstacle is open: what
    is random there takes more rows to learn.
    """
    s = settings or DemonstrationSettings()
    rng = np.random.default_rng([seed, 0xDE30])
    tasks = rng.choice(TASKS, episodes, p=s.shares).tolist()
    seeds = rng.integers(LARGEST_SEED, size=episodes).tolist()
    state, events = draw(tasks, seeds)
    state = _underway(state, s, rng)
    expert = Expert()
    planner = _Planner(state, expert, s, rng)
    parts: list[tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int64], Array]] = []
    for tick in range(s.ticks):
        planner.update(tick, state)
        open_choice = state.blocked & (np.abs(expert.side(state)) < expert.settings.undecided)
        again = s.again * [np.flatnonzero(open_choice)]
        for which in (np.arange(episodes), *again):
            committed, delay = planner.committed(rng.choice(MAX_DELAY + 1, episodes, p=s.delays))
            seen, delay = state.rows(which), delay[which]
            chunk = planner.continuation(seen, committed[which], delay)
            parts.append((seen.observation(), delay, which, chunk))
        state = events.apply(state.after(planner.take()), tick + 1)
        state = _surprised(state, s, rng)
    observed, delays, numbers, chunks = (np.concatenate(part) for part in zip(*parts, strict=True))
    return Rows(observed, delays, numbers, chunks.astype(np.float32))


class _Planner:
    """Every episode's running plan and the one that is on its way, late by a constant delay.

    Plans carry an error as a learned policy's would, so that rows show recoveries from it.
    """

    def __init__(
        self,
        state: PlaneState,
        expert: Expert,
        settings: DemonstrationSettings,
        rng: np.random.Generator,
    ) -> None:
        count = len(state)
        self._expert, self._settings, self._rng = expert, settings, rng
        self._delay = rng.integers(0, MAX_DELAY + 1, count)
        self._replan_every = np.maximum(self._delay, rng.integers(2, REPLAN_EVERY + 1, count))
        self._level = settings.noise * rng.random(count)
        # What was begun goes on until the first plan is there.
        self._plan = np.repeat(state.action[:, None], CHUNK_LENGTH, axis=1)
        # So much of it is used that the first request is made at once, and that it just lasts.
        self._used = np.full(count, CHUNK_LENGTH - MAX_DELAY, dtype=np.int64)
        self._coming = self._plan.copy()
        self._due = np.full(count, -1, dtype=np.int64)

    def update(self, tick: int, state: PlaneState) -> None:
        """Asks for plans where they are due and takes those over that have arrived."""
        asking = (self._due < 0) & (self._used >= self._replan_every)
        if asking.any():
            committed, delay = self.committed(self._delay)
            plan = self.continuation(state, committed, delay)
            fixed = np.arange(CHUNK_LENGTH) < delay[:, None]
            plan = np.where(fixed[:, :, None], plan, plan + self._error())
            plan = np.clip(plan, -GREATEST_ACTION, GREATEST_ACTION)
            self._coming[asking] = plan[asking]
            self._due[asking] = (tick + self._delay)[asking]
        arrived = self._due == tick
        self._plan[arrived] = self._coming[arrived]
        self._used[arrived] = self._delay[arrived]
        self._due[arrived] = -1

    def committed(self, wanted: NDArray[np.int64]) -> tuple[Array, NDArray[np.int64]]:
        """The running plan's next actions as a prefix [B, H, 2], and how many there are, [B]."""
        delay = np.minimum(wanted, CHUNK_LENGTH - self._used)
        index = np.minimum(self._used[:, None] + np.arange(CHUNK_LENGTH), CHUNK_LENGTH - 1)
        return np.take_along_axis(self._plan, index[:, :, None], axis=1), delay

    def continuation(self, state: PlaneState, committed: Array, delay: NDArray[np.int64]) -> Array:
        """The expert's chunks, the way round the obstacle drawn anew where both are as good."""
        chance = self._rng.uniform(1e-6, 1.0 - 1e-6, len(state))
        return self._expert.continuation(state, committed, delay, chance)

    def take(self) -> Array:
        """The actions of this tick, [B, 2]."""
        action = self._plan[np.arange(len(self._used)), self._used]
        self._used += 1
        return action

    def _error(self) -> Array:
        """A plan's error [B, H, 2]: partly white, partly correlated along the plan."""
        fresh = self._rng.standard_normal((2, *self._plan.shape))
        keep = self._settings.correlation
        slow = fresh[0]
        for row in range(1, CHUNK_LENGTH):
            slow[:, row] = keep * slow[:, row - 1] + np.sqrt(1.0 - keep**2) * slow[:, row]
        error: Array = self._level[:, None, None] * (slow + 0.3 * fresh[1])
        return error


def _underway(
    state: PlaneState, settings: DemonstrationSettings, rng: np.random.Generator
) -> PlaneState:
    """Some episodes start in motion towards the obstacle, when neither way is taken yet."""
    count = len(state)
    moved = state.blocked & (rng.random(count) < settings.underway)
    gap = state.obstacle - state.reference
    step = gap * rng.uniform(0.0, 0.6, (count, 1)) * moved[:, None]
    length = np.maximum(np.linalg.norm(gap, axis=1, keepdims=True), 1e-9)
    pace = rng.uniform(0.0, Expert().settings.speed, (count, 1)) * moved[:, None]
    aside = pace * rng.normal(0.0, 0.03, (count, 1))
    across = np.stack([-gap[:, 1], gap[:, 0]], axis=1)
    action = (pace * gap + aside * across) / length
    return replace(
        state,
        tool=state.tool + step - LAG * action,
        reference=state.reference + step,
        action=action,
        earlier=action,
    )


def _surprised(
    state: PlaneState, settings: DemonstrationSettings, rng: np.random.Generator
) -> PlaneState:
    """Objects and obstacles that jump, moving objects that turn; at random in all episodes."""
    count = len(state)
    now = (rng.random(count) < settings.surprise)[:, None]
    moving = np.linalg.norm(state.velocity, axis=1, keepdims=True) > 0.0
    turn = rng.uniform(-np.pi, np.pi, count)
    c, s = np.cos(turn), np.sin(turn)
    x, y = state.velocity.T
    turned = np.stack([c * x - s * y, s * x + c * y], axis=1)
    jump = rng.uniform(0.02, 0.08, (count, 1)) * np.stack([c, s], axis=1)
    of_obstacle = state.blocked[:, None] & (rng.random((count, 1)) < 0.5)
    return replace(
        state,
        velocity=np.where(now, turned, state.velocity),
        goal=state.goal + jump * (now & ~moving & ~of_obstacle),
        obstacle=state.obstacle + 0.5 * jump * (now & of_obstacle),
    )
