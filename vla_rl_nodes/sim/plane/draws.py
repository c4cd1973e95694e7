"""What chance decides in an episode of the plane: where things start, and the surprises."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.sim.plane.state import PERIOD_S, TASKS, Array, PlaneState

TURNS = 3  # most changes of a moving object's heading
KICKED = 0.95  # share of the episodes of `kick` in which the object is kicked
SECTOR = 0.5  # rad: `two_ways` leads along x, give or take this
REVERSED = 0.5  # share of the turns of a moving object that send it back


@dataclass
class Events:
    """The surprises of B episodes; each happens once.

    Args:
        trigger: the tool's distance that sets the jump off, metres [B]; 0 for never.
        from_goal: whether that is its distance from the object, or else from the obstacle; [B].
        goal_jump: what is added to the object's position then, [B, 2].
        obstacle_jump: what is added to the obstacle's, [B, 2].
        turn_ticks: when the object changes its velocity, int64 [B, TURNS]; -1 for never.
        turn_velocities: to what, metres per tick [B, TURNS, 2].
    """

    trigger: Array
    from_goal: NDArray[np.bool_]
    goal_jump: Array
    obstacle_jump: Array
    turn_ticks: NDArray[np.int64]
    turn_velocities: Array

    def apply(self, state: PlaneState, tick: int) -> PlaneState:
        """The state after what happens at this tick; what has happened does not come again."""
        watched = np.where(self.from_goal[:, None], state.goal, state.obstacle)
        now = np.linalg.norm(watched - state.tool, axis=1) < self.trigger
        self.trigger = np.where(now, 0.0, self.trigger)
        velocity = state.velocity
        for turn in range(TURNS):
            due = self.turn_ticks[:, turn] == tick
            velocity = np.where(due[:, None], self.turn_velocities[:, turn], velocity)
        return replace(
            state,
            goal=state.goal + now[:, None] * self.goal_jump,
            obstacle=state.obstacle + now[:, None] * self.obstacle_jump,
            velocity=velocity,
        )


@dataclass
class _Episode:
    """One episode's draw; fields as in PlaneState and Events, without the batch axis."""

    tool: Array
    goal: Array
    velocity: Array = field(default_factory=lambda: np.zeros(2))
    obstacle: Array = field(default_factory=lambda: np.zeros(2))
    blocked: bool = False
    trigger: float = 0.0
    from_goal: bool = True
    goal_jump: Array = field(default_factory=lambda: np.zeros(2))
    obstacle_jump: Array = field(default_factory=lambda: np.zeros(2))
    turn_ticks: NDArray[np.int64] = field(default_factory=lambda: np.full(TURNS, -1))
    turn_velocities: Array = field(default_factory=lambda: np.zeros((TURNS, 2)))


def draw(tasks: Sequence[str], seeds: Sequence[int]) -> tuple[PlaneState, Events]:
    """Start states and events of B episodes, each from its own task and seed alone.

    The tool starts at rest, with its reference where it is.

    Raises:
        ValueError: an unknown task, or a negative seed.
    """
    unknown = next((task for task in tasks if task not in _DRAWS), None)
    if unknown is not None:
        raise ValueError(f"'{unknown}' is none of {', '.join(TASKS)}")
    episodes = [
        _DRAWS[task](np.random.default_rng([seed, TASKS.index(task)]))
        for task, seed in zip(tasks, seeds, strict=True)
    ]
    drawn = {name: np.stack([vars(e)[name] for e in episodes]) for name in vars(episodes[0])}
    still = np.zeros((len(episodes), 2))
    state = PlaneState(
        tool=drawn["tool"],
        reference=drawn["tool"].copy(),
        action=still,
        earlier=still,
        goal=drawn["goal"],
        velocity=drawn["velocity"],
        obstacle=drawn["obstacle"],
        blocked=drawn["blocked"],
        task=np.array([TASKS.index(task) for task in tasks]),
    )
    return state, Events(**{name: drawn[name] for name in Events.__dataclass_fields__})


def _kick(rng: np.random.Generator) -> _Episode:
    tool, distance = rng.uniform(-0.1, 0.1, 2), rng.uniform(0.20, 0.35)
    kicked = rng.uniform() < KICKED
    return _Episode(
        tool=tool,
        goal=tool + distance * _direction(rng.uniform(-np.pi, np.pi)),
        trigger=rng.uniform(0.04, 0.7 * distance) if kicked else 0.0,
        goal_jump=rng.uniform(0.05, 0.08) * _direction(rng.uniform(-np.pi, np.pi)),
    )


def _moving(rng: np.random.Generator) -> _Episode:
    tool, distance = rng.uniform(-0.1, 0.1, 2), rng.uniform(0.15, 0.30)
    pace, heading = rng.uniform(0.06, 0.12) * PERIOD_S, rng.uniform(-np.pi, np.pi)
    episode = _Episode(
        tool=tool,
        goal=tool + distance * _direction(rng.uniform(-np.pi, np.pi)),
        velocity=pace * _direction(heading),
    )
    tick = 0
    for turn in range(int(rng.integers(2, TURNS + 1))):
        tick += int(rng.integers(6, 11))
        if rng.uniform() < REVERSED:
            heading += np.pi + rng.uniform(-0.5, 0.5)
        else:
            heading += rng.choice([-1.0, 1.0]) * rng.uniform(np.pi / 3, 2 * np.pi / 3)
        episode.turn_ticks[turn] = tick
        episode.turn_velocities[turn] = pace * _direction(heading)
    return episode


def _two_ways(rng: np.random.Generator) -> _Episode:
    tool, distance = rng.uniform(-0.1, 0.1, 2), rng.uniform(0.66, 0.74)
    angle = rng.uniform(-SECTOR, SECTOR)
    along, across = _direction(angle), _direction(angle + np.pi / 2)
    shifted = rng.choice([-1.0, 1.0]) * rng.uniform(0.025, 0.04) * across
    of_goal = rng.uniform() < 0.5
    return _Episode(
        tool=tool,
        goal=tool + distance * along,
        obstacle=tool + rng.uniform(0.48, 0.54) * distance * along,
        blocked=True,
        trigger=rng.uniform(0.06, 0.24) if of_goal else rng.uniform(0.27, 0.31),
        from_goal=bool(of_goal),
        goal_jump=1.5 * shifted if of_goal else np.zeros(2),
        obstacle_jump=np.zeros(2) if of_goal else shifted,
    )


def _direction(angle: float) -> Array:
    return np.array([np.cos(angle), np.sin(angle)])


_DRAWS = {"kick": _kick, "moving": _moving, "two_ways": _two_ways}
