"""Transitions over whole chunks of executed actions.

A critic of chunks learns Q(observation, C actions) from the discounted reward of those C steps
and the value behind them: unbiased, because the very actions that were executed are its argument
(Q-chunking, Li et al. 2025, arXiv 2507.07969).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.replay.episode import EpisodeData
from vla_rl_nodes.replay.spans import Spans, offsets, spans


@dataclass(frozen=True)
class ChunkTransitions:
    """N chunks of up to C executed actions.

    Attributes:
        spans: what each chunk earned, where it leads and who acted.
        action: float32 [N, C, A], in the contract's units; NaN in rows behind the episode's end,
            and where the filter accepted no action.
        mask: bool [N, C]: the rows inside the episode.
        whole: bool [N]: whether all C rows are inside the episode.
        complete: bool [N]: whether every row inside has an executed action and a reward.
    """

    spans: Spans
    action: NDArray[np.float32]
    mask: NDArray[np.bool_]
    whole: NDArray[np.bool_]
    complete: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.spans)


def chunk_transitions(
    episode: EpisodeData, length: int, gamma: float, stride: int = 1
) -> ChunkTransitions:
    """The chunks that begin at steps 0, stride, 2 * stride and so on.

    Args:
        episode: T steps.
        length: C, actions of a whole chunk.
        gamma: discount of one step, above 0 and at most 1.
        stride: from the beginning of one chunk to that of the next.

    Raises:
        InputError: a length or stride below 1, or another gamma.
    """
    found = spans(episode, length, gamma, stride)
    executed = episode.transitions.action_executed
    action = np.full((len(found), length, executed.shape[1]), np.nan, dtype=np.float32)
    for offset, inside, rows in offsets(found.observation, found.steps.astype(np.int64)):
        action[inside, offset] = executed[rows]
    mask = np.arange(length) < found.steps[:, None]
    acted = (np.isfinite(action).all(axis=2) | ~mask).all(axis=1)
    return ChunkTransitions(
        spans=found,
        action=action,
        mask=mask,
        whole=found.steps == length,
        complete=acted & ~np.isnan(found.reward),
    )
