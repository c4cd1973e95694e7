"""Steps to go: labels, loss, and that the differences telescope."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch

from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.learner.optimise import reproducible, silent
from vla_rl_nodes.learner.reward.episodes import LabelledEpisode, LabelledEpisodes
from vla_rl_nodes.learner.reward.frames import Frames
from vla_rl_nodes.learner.reward.judges import StepsToGo
from vla_rl_nodes.learner.reward.recipe import AnyRecipe, StepsToGoRecipe
from vla_rl_nodes.learner.reward.steps_to_go import (
    spread_loss,
    steps_figures,
    steps_left,
    steps_of,
    train_steps_to_go,
)
from vla_rl_nodes.replay.episode import load_header

from ..toy_replay import STEPS
from .toy_labels import labelled

pytestmark = pytest.mark.learner


@pytest.fixture(scope="module")
def recipe(small: Callable[..., AnyRecipe]) -> StepsToGoRecipe:
    found = small("steps_to_go", 120, success_below=4.0, consecutive=2)
    assert isinstance(found, StepsToGoRecipe)
    return found


def test_labels(tmp_path: Path, contract: Contract) -> None:
    header = load_header(labelled(tmp_path, contract, 0, success=True))
    usable = np.ones(STEPS + 1, dtype=np.bool_)
    usable[4] = False
    left = steps_left(LabelledEpisode(header, {}, usable, True, None, None))
    assert torch.isnan(left[4]) and left[0] == STEPS and left[-1] == 0 and left[5] == STEPS - 5
    reached = np.arange(STEPS + 1) >= 20
    left = steps_left(LabelledEpisode(header, {}, usable, True, reached, None))
    assert left[0] == 20 and left[20] == 0 and left[-1] == 0
    assert steps_left(LabelledEpisode(header, {}, usable, False, None, None)).isnan().all()


def test_the_loss_by_hand_is_least_at_the_true_spread() -> None:
    root = math.sqrt(2.0)
    given = spread_loss(
        torch.tensor([3.0, 5.0]), torch.tensor([1.0, 2.0]), torch.tensor([4.0, 5.0])
    )
    assert float(given) == pytest.approx((root * 1 + 0 + 0 + math.log(2)) / 2)
    # Errors of 2 on average: a Laplace distribution of that has a deviation of 2 roots of 2.
    left = torch.tensor([1.0, -3.0, 0.0, 4.0])
    spreads = torch.linspace(0.5, 8, 200)
    losses = [float(spread_loss(torch.zeros(4), s.expand(4), left)) for s in spreads]
    assert float(spreads[int(np.argmin(losses))]) == pytest.approx(2 * root, abs=0.05)


class _Says(torch.nn.Module):
    """Steps that the first component of the state spells out."""

    def forward(self, streams: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        steps = streams["state"][:, 0]
        return steps, torch.ones_like(steps)


def test_a_claim_far_too_soon_is_false(
    tmp_path: Path, contract: Contract, recipe: StepsToGoRecipe
) -> None:
    """The detector claims at 4 steps to go, two in a row; over 8 too soon is a false claim."""
    header = load_header(labelled(tmp_path, contract, 0, success=True))
    usable = np.ones(STEPS + 1, dtype=np.bool_)
    end, failed = STEPS, np.full(STEPS + 1, 20.0)

    def episode(at: int | None, success: bool) -> LabelledEpisode:
        said = failed.copy()
        if at is not None:
            said[at - 1 : at + 1] = 4.0
        state = said[:, None].astype(np.float32)
        return LabelledEpisode(header, {"state": state}, usable, success, None, None)

    seen = [(end, True), (end - 8, True), (end - 9, True), (None, True), (9, False), (None, False)]
    episodes = [episode(at, success) for at, success in seen]
    figures = steps_figures(cast("StepsToGo", _Says()), episodes, recipe)
    assert figures["precision"] == 2 / 4 and figures["recall"] == 2 / 4
    assert figures["early"] == 1 and figures["successes"] == 4


def test_it_learns_to_count(
    toys: tuple[Path, Path], contract: Contract, recipe: StepsToGoRecipe
) -> None:
    train, others = (LabelledEpisodes(folder, contract, recipe) for folder in toys)
    with reproducible(0, 1):
        frames = Frames.of(train.read(range(len(train))))
        generator = torch.Generator().manual_seed(0)
        model = train_steps_to_go(frames, contract, recipe, generator, silent)
    figures = steps_figures(model, others.read(range(len(others))), recipe)
    assert model.longest == STEPS
    assert figures["error"] < 2.5 and figures["precision"] > 0.8 and figures["recall"] > 0.6
    (episode,) = others.read([0])
    steps, spread = steps_of(model, episode)
    assert bool((spread > 0).all()) and bool((steps >= 0).all())
    # With a discount of 1 the rewards add up to the first less the last, whatever lies between.
    rewards = steps[:-1].double() - steps[1:].double()
    assert float(rewards.sum()) == pytest.approx(float(steps[0].double() - steps[-1].double()))


def test_without_a_success_there_is_nothing_to_learn(
    tmp_path: Path, contract: Contract, recipe: StepsToGoRecipe
) -> None:
    labelled(tmp_path, contract, 0, success=False)
    frames = Frames.of(LabelledEpisodes(tmp_path, contract, recipe).read([0]))
    with pytest.raises(InputError, match="replay: shows no success"):
        train_steps_to_go(frames, contract, recipe, torch.Generator(), silent)
