"""A value from the order of frames in time, without rewards or actions (RFTF,
arXiv 2505.19767)."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor, nn

from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.learner.optimise import Progress, fit
from vla_rl_nodes.learner.reward.episodes import LabelledEpisode
from vla_rl_nodes.learner.reward.frames import Frames
from vla_rl_nodes.learner.reward.judges import Observer, Value
from vla_rl_nodes.learner.reward.metrics import ordering_accuracy
from vla_rl_nodes.learner.reward.recipe import RankingRecipe

_BATCH = 256


def ranking_loss(values: Tensor, least_apart: int = 1) -> Tensor:
    """Mean of -log sigmoid(V(later) - V(earlier)) over pairs of frames; a scalar.

    Args:
        values: of frames in order of time, [..., n].
        least_apart: pairs that are nearer to each other in that order do not count.
    """
    first, second = torch.triu_indices(values.shape[-1], values.shape[-1], offset=least_apart)
    return -nn.functional.logsigmoid(values[..., second] - values[..., first]).mean()


def train_value(
    frames: Frames,
    contract: Contract,
    recipe: RankingRecipe,
    generator: torch.Generator,
    progress: Progress,
) -> Value:
    """Trains on the successes: each batch is frames of a few of them, in order of time.

    Raises:
        InputError: no success is long enough, or the loss is not finite.
    """
    each = 8
    known = [
        frames.first[index] + torch.nonzero(told.usable)[:, 0]
        for index, told in enumerate(frames.told)
        if told.success
    ]
    known = [rows for rows in known if len(rows) > each * recipe.least_apart]
    if not known:
        raise InputError("replay", "shows no success that is long enough", "label successes")
    module = Value(Observer(contract, frames, recipe.network), recipe.network.width)
    episodes = max(1, recipe.stage.batch // each)

    def loss() -> Tensor:
        drawn = []
        for index in torch.randint(0, len(known), (episodes,), generator=generator).tolist():
            free = len(known[index]) - (each - 1) * (recipe.least_apart - 1)
            # Without replacement, and least_apart ticks between any two.
            chosen = torch.randperm(free, generator=generator)[:each].sort().values
            drawn.append(known[index][chosen + torch.arange(each) * (recipe.least_apart - 1)])
        rows = torch.cat(drawn)
        given = module(frames.batch(rows, recipe.augmentation, generator))
        return ranking_loss(given.reshape(episodes, each))

    average = fit("value", module, loss, recipe.stage, progress)
    assert isinstance(average, Value)
    return average


def values_of(model: Value, episode: LabelledEpisode) -> Tensor:
    """The value of each observation of an episode, float32 [T+1]."""
    streams = {key: torch.from_numpy(value) for key, value in episode.streams.items()}
    with torch.no_grad():
        parts = [
            model({key: value[rows] for key, value in streams.items()})
            for rows in torch.split(torch.arange(episode.observations), _BATCH)
        ]
    return torch.cat(parts)


def ranking_figures(model: Value, episodes: Iterable[LabelledEpisode]) -> dict[str, float]:
    """``ordering``, ``ordering_least``: share of the pairs of frames of held-out successes whose
    later one has the greater value, mean and least; ``successes``: how many.

    Raises:
        InputError: there is no success.
    """
    right = [
        ordering_accuracy(values_of(model, episode).numpy().astype(np.float64))
        for episode in episodes
        if episode.success
    ]
    if not right:
        raise InputError("replay", "holds out no success", "label more episodes that succeed")
    return {
        "ordering": float(np.mean(right)),
        "ordering_least": float(np.min(right)),
        "successes": float(len(right)),
    }
