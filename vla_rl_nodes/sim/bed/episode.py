"""Episodes of the bed as arrays, and mixtures of good and bad ones whose makers are known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.sim.bed.arm import ArmBed, Seen
from vla_rl_nodes.sim.bed.task import Vector

Floats = NDArray[np.float32]
Act = Callable[[Seen], NDArray[np.floating]]

STEADY, SHAKY = 0.1, 0.8  # standard deviation of what a demonstrator adds to each axis
MISTAKE_M = (0.025, 0.04)  # how far off a failing one believes the object to be
NEVER = (0.0, 0.0)
# kind -> noise of its actions, and the range of its mistake
MAKERS: dict[str, tuple[float, tuple[float, float]]] = {
    "expert": (STEADY, NEVER),
    "noisy": (SHAKY, (0.0, 0.01)),
    "failing": (STEADY, MISTAKE_M),
}


@dataclass(frozen=True)
class BedEpisode:
    """T ticks.

    Attributes:
        seen: float32 [T + 1, S].
        actions: float32 [T, A], each axis in -1 to 1, as executed.
        rewards: float32 [T].
        terminated: whether the task succeeded; else the time was up.
        intervened: bool [T]: a person acted.
        maker: who made it.
        seed: of the start.
    """

    seen: Floats
    actions: Floats
    rewards: Floats
    terminated: bool
    intervened: NDArray[np.bool_]
    maker: str
    seed: int

    def __len__(self) -> int:
        return len(self.actions)


def run(
    bed: ArmBed, seed: int, act: Act, maker: str, person: Callable[[], Vector | None] | None = None
) -> BedEpisode:
    """One episode.

    Args:
        bed: the arm.
        seed: of the start.
        act: the policy.
        maker: its name.
        person: called at each tick before the policy; an action [A] of his goes first.
    """
    seen, actions, rewards, intervened = [bed.start(seed)], [], [], []
    while True:
        his = None if person is None else person()
        chosen = np.clip(act(seen[-1]) if his is None else his, -1.0, 1.0).astype(np.float32)
        step = bed.step(chosen)
        seen.append(step.seen)
        actions.append(chosen)
        rewards.append(step.reward)
        intervened.append(his is not None)
        if step.terminated or step.truncated:
            return BedEpisode(
                np.stack(seen), np.stack(actions), np.array(rewards, dtype=np.float32),
                step.terminated, np.array(intervened), maker, seed,
            )  # fmt: skip


def demonstrate(bed: ArmBed, seed: int, maker: str) -> BedEpisode:
    """One demonstration by one of ``MAKERS``; the same seed gives the same."""
    noise, (nearest, furthest) = MAKERS[maker]
    rng = np.random.default_rng([seed, list(MAKERS).index(maker)])
    turn, far = rng.uniform(-np.pi, np.pi), rng.uniform(nearest, furthest)
    aim = far * np.array([np.cos(turn), np.sin(turn), 0.0])

    def act(seen: Seen) -> Vector:
        wanted = bed.expert(aim)
        return wanted + rng.normal(0.0, noise, wanted.shape) * _moves(wanted, bed)

    return run(bed, seed, act, maker)


def _moves(action: Vector, bed: ArmBed) -> Vector:
    """1 for the axes that move, 0 for the gripper: its noise would open it at random."""
    weights = np.ones_like(action)
    if bed.task.gripper:
        weights[-1] = 0.0
    return weights


def mixture(bed: ArmBed, episodes: int, expert: float, first_seed: int) -> list[BedEpisode]:
    """A share of expert episodes, rounded, and of the rest half noisy, half failing ones."""
    good = round(episodes * expert)
    bad = [("noisy", "failing")[index % 2] for index in range(episodes - good)]
    makers = ["expert"] * good + bad
    order = np.random.default_rng(first_seed).permutation(episodes)
    return [
        demonstrate(bed, first_seed + index, makers[int(order[index])])
        for index in range(episodes)
    ]


def success(episodes: Sequence[BedEpisode]) -> float:
    """The share that succeeded."""
    return float(np.mean([episode.terminated for episode in episodes]))
