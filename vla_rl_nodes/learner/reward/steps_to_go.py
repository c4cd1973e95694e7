"""Steps to go, by regression on successes (Self-Improving Embodied Foundation Models,
arXiv 2509.15155), with the spread of what is not known."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.learner.optimise import Progress, fit
from vla_rl_nodes.learner.reward.episodes import LabelledEpisode
from vla_rl_nodes.learner.reward.frames import Frames, Told
from vla_rl_nodes.learner.reward.judges import Observer, StepsToGo
from vla_rl_nodes.learner.reward.recipe import StepsToGoRecipe
from vla_rl_nodes.learner.reward.threshold import first_detection

_BATCH = 256
_EARLY = 2.0  # a claim with more than so many times the detector's steps to go is a false one


def success_at(told: Told | LabelledEpisode) -> int | None:
    """The observation at which success is reached; None where it never is."""
    if not told.success:
        return None
    if told.reached is None:
        return told.observations - 1
    return int(np.flatnonzero(np.asarray(told.reached))[0])


def steps_left(told: Told | LabelledEpisode) -> Tensor:
    """Control ticks from each observation to success, float32 [T+1]; NaN where there is none.

    An episode without success has no such number. A sidecar says when success was reached first;
    what lies behind it has none to go.
    """
    count, end = told.observations, success_at(told)
    if end is None:
        return torch.full((count,), torch.nan)
    left = (end - torch.arange(count)).clamp_min(0).to(torch.float32)
    left[~torch.as_tensor(told.usable)] = torch.nan
    return left


def spread_loss(steps: Tensor, spread: Tensor, left: Tensor) -> Tensor:
    """Negative log-likelihood of a Laplace distribution, without its constant; a scalar.

    Args:
        steps: its middle, [B].
        spread: its standard deviation, above 0, [B].
        left: what was true, [B].
    """
    return (math.sqrt(2.0) * (steps - left).abs() / spread + spread.log()).mean()


def train_steps_to_go(
    frames: Frames,
    contract: Contract,
    recipe: StepsToGoRecipe,
    generator: torch.Generator,
    progress: Progress,
) -> StepsToGo:
    """Trains on every usable frame of the successes.

    Raises:
        InputError: there is no success, or the loss is not finite.
    """
    left = torch.cat([steps_left(told) for told in frames.told])
    known = torch.nonzero(~left.isnan())[:, 0]
    if not len(known):
        raise InputError("replay", "shows no success", "label episodes that succeed")
    module = StepsToGo(
        Observer(contract, frames, recipe.network),
        recipe.network.width,
        max(1.0, float(left[known].max())),
    )

    def loss() -> Tensor:
        drawn = torch.randint(0, len(known), (recipe.stage.batch,), generator=generator)
        rows = known[drawn]
        steps, spread = module(frames.batch(rows, recipe.augmentation, generator))
        return spread_loss(steps, spread, left[rows])

    average = fit("steps to go", module, loss, recipe.stage, progress)
    assert isinstance(average, StepsToGo)
    return average


def steps_of(model: StepsToGo, episode: LabelledEpisode) -> tuple[Tensor, Tensor]:
    """Steps and spread at each observation of an episode, [T+1] each."""
    streams = {key: torch.from_numpy(values) for key, values in episode.streams.items()}
    with torch.no_grad():
        parts = [
            model({key: values[rows] for key, values in streams.items()})
            for rows in torch.split(torch.arange(episode.observations), _BATCH)
        ]
    return torch.cat([steps for steps, _ in parts]), torch.cat([spread for _, spread in parts])


def steps_figures(
    model: StepsToGo, episodes: Iterable[LabelledEpisode], recipe: StepsToGoRecipe
) -> dict[str, float]:
    """What is reported of held-out episodes.

    Returns:
        ``error``: mean absolute error on frames of successes, ticks; ``spread``: mean predicted;
        ``within``: share of the frames within twice the spread; ``precision`` and ``recall`` of
        the detector that claims success where few steps are left so many times in a row, and
        ``early``: how many of its false claims came in successes, over twice those steps too soon.
    """
    errors, spreads = [], []
    right = wrong = early = missed = 0
    for episode in episodes:
        steps, spread = steps_of(model, episode)
        left = steps_left(episode)
        known = ~left.isnan()
        errors.append((steps - left).abs()[known])
        spreads.append(spread[known])
        at = first_detection(
            -steps.numpy().astype(np.float64), -recipe.success_below, recipe.consecutive
        )
        claimed = at < episode.observations
        end = success_at(episode)
        soon = claimed and end is not None and at < end - _EARLY * recipe.success_below
        right += claimed and end is not None and not soon
        wrong += claimed and (end is None or soon)
        early += soon
        missed += not claimed and end is not None
    error, expected = torch.cat(errors), torch.cat(spreads)
    return {
        "error": float(error.mean()),
        "spread": float(expected.mean()),
        "within": float((error <= 2 * expected).to(torch.float32).mean()),
        "precision": right / max(right + wrong, 1),
        "recall": right / max(right + early + missed, 1),
        "early": float(early),
        "successes": float(right + early + missed),
    }
