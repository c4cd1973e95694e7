"""Transitions with n-step returns: one action, and what the n steps from it on earned.

The sum stops where the episode ends, and the discount of the value behind it has the power of the
steps that were really summed (Sutton and Barto, chapter 7; TorchRL's ``MultiStep`` does the same
to a batch of trajectories).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.replay.episode import EpisodeData
from vla_rl_nodes.replay.spans import Spans, spans


@dataclass(frozen=True)
class StepTransitions:
    """N steps with their n-step returns.

    The return of n > 1 steps is that of the hands that acted (``spans.mixed``,
    ``spans.intervened``), not of the policy that is learnt: it is off-policy.

    Attributes:
        spans: what the n steps earned, where they lead and who acted.
        action: float32 [N, A]: executed in the first of them; a NaN row where none was.
        complete: bool [N]: whether the first step has an executed action and all have a reward.
    """

    spans: Spans
    action: NDArray[np.float32]
    complete: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.spans)


def step_transitions(
    episode: EpisodeData, n: int, gamma: float, stride: int = 1
) -> StepTransitions:
    """Every step, or every stride-th, with its n-step return; n of 1 gives plain transitions.

    Args:
        episode: T steps.
        n: rewards that are summed at most.
        gamma: discount of one step, above 0 and at most 1.
        stride: from one to the next.

    Raises:
        InputError: n or the stride below 1, or another gamma.
    """
    found = spans(episode, n, gamma, stride)
    action = episode.transitions.action_executed[found.observation]
    acted = np.isfinite(action).all(axis=1)
    return StepTransitions(found, action, acted & ~np.isnan(found.reward))
