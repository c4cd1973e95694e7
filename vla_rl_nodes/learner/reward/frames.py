"""All observations of the training episodes in memory, and batches of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vla_rl_nodes.learner.augment import augmented
from vla_rl_nodes.learner.recipe import Augmentation
from vla_rl_nodes.learner.reward.episodes import LabelledEpisode
from vla_rl_nodes.replay.episode import EpisodeHeader


@dataclass(frozen=True)
class Told:
    """What is known of an episode beside its streams; see ``LabelledEpisode``."""

    header: EpisodeHeader
    usable: Tensor
    success: bool
    reached: Tensor | None
    progress: Tensor | None

    @property
    def observations(self) -> int:
        """T + 1."""
        return len(self.usable)


@dataclass(frozen=True)
class Frames:
    """N observations of several episodes, one episode behind the other.

    Attributes:
        streams: key -> uint8 [N, H, W, 3] or float32 [N, n].
        first: row of each episode's first observation, int64 [E].
        told: of each episode, [E].
    """

    streams: dict[str, Tensor]
    first: Tensor
    told: list[Told]

    def __len__(self) -> int:
        return sum(told.observations for told in self.told)

    @classmethod
    def of(cls, episodes: Iterable[LabelledEpisode]) -> Frames:
        """Reads episodes into memory; there is at least one."""
        parts: dict[str, list[Tensor]] = {}
        told = []
        for episode in episodes:
            for key, values in episode.streams.items():
                parts.setdefault(key, []).append(torch.from_numpy(np.ascontiguousarray(values)))
            told.append(
                Told(
                    header=episode.header,
                    usable=torch.from_numpy(episode.usable),
                    success=episode.success,
                    reached=_tensor(episode.reached),
                    progress=_tensor(episode.progress),
                )
            )
        counts = torch.tensor([t.observations for t in told])
        return cls(
            {key: torch.cat(values) for key, values in parts.items()},
            counts.cumsum(0) - counts,
            told,
        )

    def batch(
        self, rows: Tensor, augmentation: Augmentation, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Observations [B, ...] by row, int64 [B], whose images are changed at random."""
        return {
            key: augmented(values, rows, augmentation, generator)
            if values.dtype == torch.uint8
            else values[rows]
            for key, values in self.streams.items()
        }

    def rows(self, episode: int) -> Tensor:
        """Rows of an episode's observations, int64 [T+1]."""
        return self.first[episode] + torch.arange(self.told[episode].observations)

    def vectors(self) -> dict[str, Tensor]:
        """The streams that are no images."""
        return {k: v for k, v in self.streams.items() if v.dtype != torch.uint8}


def _tensor(values: np.ndarray[tuple[int, ...], np.dtype[np.generic]] | None) -> Tensor | None:
    return None if values is None else torch.from_numpy(values)
