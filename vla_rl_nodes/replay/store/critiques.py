"""The critiques of the steps that a sampler has drawn.

Words do not lie among the arrays of a store but in its episodes' descriptions, so they are looked
up for a batch when it is drawn, by the numbers that every batch has.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.replay.critique import NO_STEP, Critique
from vla_rl_nodes.replay.store.forms import Arrays
from vla_rl_nodes.replay.store.sampler import AT
from vla_rl_nodes.replay.store.store import EpisodeStore, StoredEpisode


def criticised(episode: StoredEpisode, steps: NDArray[np.void]) -> NDArray[np.bool_]:
    """The steps of which a judge said something, for a ``View`` of a pool."""
    flags = np.zeros(len(steps), dtype=np.bool_)
    flags[[c.step for c in episode.header.critiques if c.step != NO_STEP]] = True
    return flags


def critiques_of(
    stores: Sequence[EpisodeStore], batch: Arrays, length: int = 1
) -> list[list[Critique]]:
    """What was said of each sample, in the order of steps and stamps.

    Args:
        stores: of the views that the sampler draws from, in their order over all halves.
        batch: that a :class:`vla_rl_nodes.replay.store.sampler.Sampler` gave.
        length: steps of a sample, where it is a slice or a chunk.
    """
    found = []
    for source, number, step in zip(
        batch[AT + "source"], batch[AT + "episode"], batch[AT + "step"], strict=True
    ):
        said = stores[source].episodes[number].header.critiques
        begin, end = (bisect_left(said, at, key=_step) for at in (step, step + length))
        found.append(said[begin:end])
    return found


def _step(critique: Critique) -> int:
    return critique.step
