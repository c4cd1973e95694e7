"""States and closed loops of the plane that several tests need."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.sim.plane.expert import Expert
from vla_rl_nodes.sim.plane.state import TASKS, Array, PlaneState
from vla_rl_nodes.sim.plane.world import PlaneWorld


def state(task: str = "kick", count: int = 1, **changed: object) -> PlaneState:
    """Episodes at rest at the origin, the object 0.3 m along x."""
    zero = np.zeros((count, 2))
    fields: dict[str, object] = {
        "tool": zero, "reference": zero, "action": zero, "earlier": zero,
        "goal": zero + np.array([0.3, 0.0]), "velocity": zero, "obstacle": zero,
        "blocked": np.zeros(count, np.bool_), "task": np.full(count, TASKS.index(task)),
    }  # fmt: skip
    for name, value in changed.items():
        shape = np.shape(fields[name])
        fields[name] = np.broadcast_to(np.asarray(value), shape).copy()
    return PlaneState(**fields)  # type: ignore[arg-type]


def at_once(task: str, seeds: Sequence[int]) -> PlaneWorld:
    """Episodes of the expert, asked anew at every tick, until all have ended."""
    world = PlaneWorld([task] * len(seeds), seeds)
    chance = np.random.default_rng(1).uniform(0.01, 0.99, len(seeds))
    while world.running.any():
        world.step(Expert().act(world.state, chance))
    return world


Chunks = Callable[[PlaneState, Array, NDArray[np.int64]], Array]


def asynchronous(
    chunks: Chunks, task: str, seeds: Sequence[int], delay: int, *, prefixed: bool
) -> tuple[PlaneWorld, Array, NDArray[np.int64]]:
    """Episodes whose chunks come ``delay`` ticks late; spliced at the consumed index.

    Args:
        chunks: state, committed actions [B, 16, 2] and delay [B] -> chunks [B, 16, 2].
        task: of all episodes.
        seeds: of the episodes.
        delay: ticks, at least 1.
        prefixed: whether the chunks are told what is committed.

    Returns:
        The world, the executed actions [T, B, 2] and which chunk each came from, [T].
    """
    world = PlaneWorld([task] * len(seeds), seeds)
    count = len(seeds)
    nothing = np.zeros((count, 16, 2))
    running, used = nothing, 0
    pending, due = chunks(world.state, nothing, np.zeros(count, np.int64)), delay
    started = number = 0
    actions, numbers = [], []
    while world.running.any():
        if world.tick == due:
            running, used, due = pending, started, -1
            number += 1
        if due < 0 and used >= max(4, delay):
            prefix = nothing.copy()
            if prefixed:
                prefix[:, :delay] = running[:, used : used + delay]
            pending = chunks(world.state, prefix, np.full(count, delay if prefixed else 0))
            started, due = delay, world.tick + delay
        # Until the first chunk is there the tool is held.
        action = running[:, used] if number else np.zeros((count, 2))
        used += bool(number)
        actions.append(action)
        numbers.append(number)
        world.step(action)
    return world, np.array(actions), np.array(numbers)
