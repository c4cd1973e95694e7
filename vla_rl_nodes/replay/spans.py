"""Stretches of consecutive steps of one episode: what they earned and how to look beyond them.

Both kinds of transitions longer than a step rest on these: chunks of actions
(:mod:`vla_rl_nodes.replay.chunks`) and n-step returns (:mod:`vla_rl_nodes.replay.returns`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.replay.episode import EpisodeData

_PERSON = -1  # in the place of a policy version


@dataclass(frozen=True)
class Spans:
    """N stretches of up to C steps. A target is ``reward + discount * value(next observation)``.

    Attributes:
        observation: int64 [N]: the first step, which is also the row of its observation.
        next_observation: int64 [N]: the row of the observation behind the last step.
        steps: int32 [N]: how many they are; fewer than C where the episode ended before.
        reward: float32 [N]: sum of γ^i times the reward of the i-th step; NaN where one has none.
        discount: float32 [N]: γ^steps, and 0 where the episode terminated in the stretch: a value
            is looked up behind a truncation, never behind a termination.
        terminated: bool [N]: whether success or failure came in the last step.
        truncated: bool [N]: whether the record ends with the last step otherwise.
        intervened: bool [N]: whether a person acted in one of the steps.
        mixed: bool [N]: whether not all steps are by one hand: a person's and a policy's, or those
            of two policy versions.
        gap: bool [N]: whether ticks are missing in between, so that a step lasted for more than
            one and a half control periods.
    """

    observation: NDArray[np.int64]
    next_observation: NDArray[np.int64]
    steps: NDArray[np.int32]
    reward: NDArray[np.float32]
    discount: NDArray[np.float32]
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]
    intervened: NDArray[np.bool_]
    mixed: NDArray[np.bool_]
    gap: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.observation)


def spans(episode: EpisodeData, length: int, gamma: float, stride: int = 1) -> Spans:
    """The stretches that begin at steps 0, stride, 2 * stride and so on.

    Args:
        episode: T steps.
        length: C, of a whole stretch; the last ones end with the episode.
        gamma: discount of one step, above 0 and at most 1.
        stride: from the beginning of one to that of the next.

    Raises:
        InputError: a length or stride below 1, or another gamma.
    """
    if length < 1 or stride < 1 or not 0.0 < gamma <= 1.0:
        raise InputError(
            f"length {length}, stride {stride}, gamma {gamma}",
            "gives no stretches of steps",
            "give a length and a stride of at least 1 and a gamma above 0 and up to 1",
        )
    transitions = episode.transitions
    total = len(transitions.reward)
    first = np.arange(0, total, stride, dtype=np.int64)
    steps = np.minimum(length, total - first)
    last = first + steps - 1
    long = 2 * np.diff(transitions.stamp_ns) > 3 * round(1e9 / episode.header.policy_hz)
    hand = np.where(transitions.intervened, _PERSON, transitions.policy_version)
    reward = np.zeros(len(first))
    intervened, mixed, gap = (np.zeros(len(first), dtype=np.bool_) for _ in range(3))
    for offset, inside, rows in offsets(first, steps):
        reward[inside] += gamma**offset * transitions.reward[rows].astype(np.float64)
        intervened[inside] |= transitions.intervened[rows]
        mixed[inside] |= hand[rows] != hand[first[inside]]
        gap[inside] |= long[rows]
    terminated = transitions.terminated[last]
    return Spans(
        observation=first,
        next_observation=last + 1,
        steps=steps.astype(np.int32),
        reward=reward.astype(np.float32),
        discount=np.where(terminated, 0.0, gamma**steps).astype(np.float32),
        terminated=terminated,
        truncated=transitions.truncated[last],
        intervened=intervened,
        mixed=mixed,
        gap=gap,
    )


def offsets(
    first: NDArray[np.int64], steps: NDArray[np.int64]
) -> Iterator[tuple[int, NDArray[np.int64], NDArray[np.int64]]]:
    """For each offset i: which stretches are longer than i, and their i-th rows."""
    for offset in range(int(steps.max())):
        inside = np.flatnonzero(steps > offset)
        yield offset, inside, first[inside] + offset
