"""Progress between two observations, from the order of frames in successes (VLAC,
arXiv 2509.15937), on one small encoder for both."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.episodes.reward.progress_value import (
    negative_rate,
    value_order_correlation,
    values,
)
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.learner.optimise import Progress, fit
from vla_rl_nodes.learner.reward.episodes import LabelledEpisode
from vla_rl_nodes.learner.reward.frames import Frames, Told
from vla_rl_nodes.learner.reward.judges import LARGEST_CRITIC, Observer, PairCritic
from vla_rl_nodes.learner.reward.metrics import auc
from vla_rl_nodes.learner.reward.recipe import PairwiseRecipe

_BATCH = 256
_SHUFFLES = 10  # one order of thirty frames correlates with time by chance, too
_HALF_WAY = 50.0
_LEAST_REMAINDER = 1.0


def progress_of(told: Told | LabelledEpisode) -> Tensor:
    """Progress at each observation, 0 to 100, float32 [T+1].

    A sidecar's, or of a success the share of its time that has gone by; NaN where neither is.
    """
    if told.progress is not None:
        return 100.0 * torch.as_tensor(told.progress)
    if not told.success:
        return torch.full((told.observations,), torch.nan)
    return torch.linspace(0.0, 100.0, told.observations)


def critic_between(before: Tensor, after: Tensor) -> Tensor:
    """What a perfect critic says: the number that leads from one progress to the other.

    The inverse of ``episodes.reward.progress_value.next_value``, so that a demonstration's own
    labels add up to its own progress; -100 to 100.

    Args:
        before: 0 to 100, [B].
        after: likewise.
    """
    forward = 100.0 * (after - before) / (100.0 - before).clamp_min(1e-6)
    lower = 100.0 * (after - before) / before.clamp_min(1e-6)
    remainder = (100.0 - before).clamp_min(_LEAST_REMAINDER)
    upper = 100.0 * remainder / (100.0 - after).clamp_min(_LEAST_REMAINDER) - 100.0
    back = torch.where(before <= _HALF_WAY, lower, upper)
    critic = torch.where(after > before, forward, torch.where(after < before, back, 0.0))
    return critic.clamp(-LARGEST_CRITIC, LARGEST_CRITIC)


def logs_of(critic: Tensor) -> Tensor:
    """What ``PairCritic.logs`` should say for a critic, [B]; the last hundredth has none."""
    share = (critic.abs() / LARGEST_CRITIC).clamp_max(1.0 - _LEAST_REMAINDER / 100.0)
    return -critic.sign() * torch.log1p(-share)


def train_pair_critic(
    frames: Frames,
    contract: Contract,
    recipe: PairwiseRecipe,
    generator: torch.Generator,
    progress: Progress,
) -> PairCritic:
    """Trains on pairs of frames of one episode, forwards and backwards.

    Half of them lie so far apart as two frames by chance; of the others every size is as frequent,
    from one tick to the whole episode.

    Raises:
        InputError: no episode has progress, or the loss is not finite.
    """
    reached = torch.cat([progress_of(told) for told in frames.told])
    usable = torch.cat([told.usable for told in frames.told]) & ~reached.isnan()
    known = torch.nonzero(usable)[:, 0]
    if not len(known):
        raise InputError("replay", "shows no success", "label episodes that succeed")
    episode = torch.repeat_interleave(
        torch.arange(len(frames.told)), torch.tensor([t.observations for t in frames.told])
    )
    last = frames.first + torch.tensor([told.observations for told in frames.told]) - 1
    module = PairCritic(Observer(contract, frames, recipe.network), recipe.network.width)

    def loss() -> Tensor:
        count = recipe.stage.batch
        before = known[torch.randint(0, len(known), (count,), generator=generator)]
        start, end = frames.first[episode[before]], last[episode[before]]
        length = (end - start).to(torch.float32)
        gap = length ** torch.rand(count, generator=generator)
        side = torch.randint(0, 2, (count,), generator=generator) * 2 - 1
        near = before + (side * gap).round().to(torch.int64)
        far = start + (length * torch.rand(count, generator=generator)).round().to(torch.int64)
        after = torch.where(torch.rand(count, generator=generator) < 0.5, near, far)
        after = torch.minimum(torch.maximum(after, start), end)
        after = torch.where(usable[after], after, before)
        seen = (
            module.observer(frames.batch(rows, recipe.augmentation, generator))
            for rows in (before, after)
        )
        wanted = critic_between(reached[before], reached[after])
        return nn.functional.l1_loss(module.logs(*seen), logs_of(wanted))

    average = fit("pair critic", module, loss, recipe.stage, progress)
    assert isinstance(average, PairCritic)
    return average


def features_of(model: PairCritic, episode: LabelledEpisode) -> Tensor:
    """The encoder's features of each observation of an episode, [T+1, size]."""
    streams = {key: torch.from_numpy(value) for key, value in episode.streams.items()}
    with torch.no_grad():
        parts = [
            model.observer({key: value[rows] for key, value in streams.items()})
            for rows in torch.split(torch.arange(episode.observations), _BATCH)
        ]
    return torch.cat(parts)


def critics_along(model: PairCritic, features: Tensor, order: Sequence[int]) -> list[float]:
    """What the critic says from each observation to the next in an order of them, [n - 1]."""
    rows = torch.as_tensor(order)
    with torch.no_grad():
        given: list[float] = model.compare(features[rows[:-1]], features[rows[1:]]).tolist()
    return given


def with_backtrack(
    count: int, stride: int, rng: np.random.Generator
) -> tuple[list[int], NDArray[np.bool_]]:
    """An order of an episode's observations that goes back once, and which steps go back.

    Args:
        count: observations of the episode.
        stride: from one to the next.
        rng: draws where it turns, and for how long.
    """
    steps = list(range(0, count, stride))
    turn = int(rng.integers(2, len(steps)))
    depth = int(rng.integers(1, min(turn, 4) + 1))
    back = steps[turn - depth : turn][::-1]
    order = [*steps[: turn + 1], *back, *steps[turn - depth + 1 :]]
    backwards = np.diff(order) < 0
    return order, backwards


def pairwise_figures(
    model: PairCritic, episodes: Iterable[LabelledEpisode], recipe: PairwiseRecipe, seed: int
) -> dict[str, float]:
    """What is reported of held-out successes; other episodes are left out.

    Returns:
        ``voc``, ``voc_least``: mean and least order correlation of accumulated progress with
        time, with ``order_stride``; ``voc_shuffled``: the mean where these frames come in random
        order, ten of them an episode; ``voc_looks`` and ``negative_rate`` at the node's looks;
        ``backtrack_auc``: of finding, among these, the steps that go back where some were put in.

    Raises:
        InputError: no success is long enough.
    """
    rng = np.random.default_rng([seed, 0x9A12])
    straight, shuffled, looks, negative, scores, backwards = [], [], [], [], [], []
    for episode in episodes:
        if not episode.success or episode.observations < 4 * recipe.stride:
            continue
        features = features_of(model, episode)
        order = _until_the_end(episode, recipe.order_stride)
        straight.append(_order_found(model, features, order))
        shuffled += [
            _order_found(model, features, rng.permutation(order).tolist())
            for _ in range(_SHUFFLES)
        ]
        looked = _until_the_end(episode, recipe.stride)
        looks.append(_order_found(model, features, looked))
        negative.append(negative_rate(critics_along(model, features, looked)))
        turned, back = with_backtrack(episode.observations, recipe.stride, rng)
        scores.append(-np.array(critics_along(model, features, turned)))
        backwards.append(back)
    if not straight:
        raise InputError("replay", "holds out no success", "label more episodes that succeed")
    return {
        "voc": float(np.mean(straight)),
        "voc_least": float(np.min(straight)),
        "voc_shuffled": float(np.mean(shuffled)),
        "voc_looks": float(np.mean(looks)),
        "negative_rate": float(np.mean(negative)),
        "backtrack_auc": auc(np.concatenate(scores), np.concatenate(backwards)),
        "successes": float(len(straight)),
    }


def _until_the_end(episode: LabelledEpisode, stride: int) -> list[int]:
    """Every stride-th observation, of which the last is the episode's."""
    return list(range(episode.observations - 1, -1, -stride))[::-1]


def _order_found(model: PairCritic, features: Tensor, order: Sequence[int]) -> float:
    return value_order_correlation(values(critics_along(model, features, order)))
