"""The ranking loss by hand, and that it finds the order."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.learner.optimise import reproducible, silent
from vla_rl_nodes.learner.reward.episodes import LabelledEpisodes
from vla_rl_nodes.learner.reward.frames import Frames
from vla_rl_nodes.learner.reward.ranking import ranking_figures, ranking_loss, train_value
from vla_rl_nodes.learner.reward.recipe import AnyRecipe, RankingRecipe

from .toy_labels import labelled

pytestmark = pytest.mark.learner


@pytest.fixture(scope="module")
def recipe(small: Callable[..., AnyRecipe]) -> RankingRecipe:
    found = small("value_ranking", 50)
    assert isinstance(found, RankingRecipe)
    return found


def test_three_frames_by_hand() -> None:
    """Gaps of 1, 3 and 2: minus the mean of the logarithms of their sigmoids."""
    wanted = sum(math.log(1 + math.exp(-gap)) for gap in (1.0, 3.0, 2.0)) / 3
    values = torch.tensor([0.5, 1.5, 3.5], dtype=torch.float64)
    assert float(ranking_loss(values)) == pytest.approx(wanted, abs=1e-12)
    assert float(ranking_loss(values, least_apart=2)) == pytest.approx(
        math.log(1 + math.exp(-3.0)), abs=1e-12
    )
    backwards = sum(math.log(1 + math.exp(gap)) for gap in (1.0, 3.0, 2.0)) / 3
    assert float(ranking_loss(values.flip(0))) == pytest.approx(backwards, abs=1e-12)
    # Episodes side by side: the mean over all pairs of each.
    both = torch.stack([values, values.flip(0)])
    assert float(ranking_loss(both)) == pytest.approx((wanted + backwards) / 2, abs=1e-12)


def test_a_constant_changes_nothing() -> None:
    values = torch.randn(9, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert float(ranking_loss(values + 7.0)) == pytest.approx(float(ranking_loss(values)))


def test_it_finds_the_order(
    toys: tuple[Path, Path], contract: Contract, recipe: RankingRecipe
) -> None:
    train, others = (LabelledEpisodes(folder, contract, recipe) for folder in toys)
    with reproducible(0, 1):
        frames = Frames.of(train.read(range(len(train))))
        generator = torch.Generator().manual_seed(0)
        model = train_value(frames, contract, recipe, generator, silent)
    figures = ranking_figures(model, others.read(range(len(others))))
    assert figures["successes"] == 6 and figures["ordering"] > 0.95


def test_successes_that_are_too_short_are_refused(
    tmp_path: Path, contract: Contract, recipe: RankingRecipe
) -> None:
    labelled(tmp_path, contract, 0, success=True)
    frames = Frames.of(LabelledEpisodes(tmp_path, contract, recipe).read([0]))
    far = recipe.model_copy(update={"least_apart": 9})
    with pytest.raises(InputError, match="no success that is long enough"):
        train_value(frames, contract, far, torch.Generator(), silent)
