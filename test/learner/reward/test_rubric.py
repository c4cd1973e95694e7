"""Scores, the film that is shown, and the two kinds of negatives."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.episodes.reward.film import Film
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.learner.optimise import reproducible, silent
from vla_rl_nodes.learner.reward.episodes import LabelledEpisode, LabelledEpisodes
from vla_rl_nodes.learner.reward.frames import Frames
from vla_rl_nodes.learner.reward.recipe import AnyRecipe, RubricRecipe
from vla_rl_nodes.learner.reward.rubric import film, rubric_figures, score_at, train_rubric
from vla_rl_nodes.replay.episode import load_header

from ..toy_replay import STEPS
from .toy_labels import labelled

pytestmark = pytest.mark.learner


@pytest.fixture(scope="module")
def recipe(small: Callable[..., AnyRecipe]) -> RubricRecipe:
    found = small("rubric5", 220)
    assert isinstance(found, RubricRecipe)
    stage = found.stage.model_copy(update={"learning_rate": 1e-2, "batch": 8})
    return found.model_copy(update={"stage": stage})


def test_scores_by_quarters(tmp_path: Path, contract: Contract) -> None:
    header = load_header(labelled(tmp_path, contract, 0, success=True))
    usable = np.ones(STEPS + 1, dtype=np.bool_)
    won = LabelledEpisode(header, {}, usable, True, None, None)
    assert [score_at(won, last) for last in (0, 5, 6, 12, 18, 23, 24)] == [1, 1, 2, 3, 4, 4, 5]
    assert score_at(LabelledEpisode(header, {}, usable, False, None, None), STEPS) is None
    done = np.full(STEPS + 1, 0.6, dtype=np.float32)
    done[-1] = 1.0  # the annotator's word; but without success it is not complete
    lost = LabelledEpisode(header, {}, usable, False, None, done)
    assert (score_at(lost, 3), score_at(lost, STEPS)) == (3, 4)


@pytest.mark.parametrize(("count", "frames"), [(2, 4), (5, 4), (9, 8), (16, 8)])
def test_the_film_is_the_reward_nodes(count: int, frames: int) -> None:
    live = Film(frames)
    for index in range(count):
        live.add(index + 1, {"eye": np.full((1, 1, 3), index, dtype=np.uint8)})
    shown = live.frames()["eye"][:, 0, 0, 0]
    assert film(count - 1, frames).tolist() == shown.tolist()


def test_it_learns_scores_and_tasks(
    toys: tuple[Path, Path], contract: Contract, recipe: RubricRecipe
) -> None:
    train, others = (LabelledEpisodes(folder, contract, recipe) for folder in toys)
    with reproducible(0, 1):
        frames = Frames.of(train.read(range(len(train))))
        generator = torch.Generator().manual_seed(0)
        model = train_rubric(frames, contract, recipe, generator, silent)
    figures = rubric_figures(model, others.read(range(len(others))), recipe, 0)
    assert figures["auc"] > 0.9 and figures["mae_other_task"] < 1.0


def test_without_negatives_all_tasks_are_alike(
    toys: tuple[Path, Path], contract: Contract, recipe: RubricRecipe
) -> None:
    """Trained on successes as they are, it calls another task's complete as well."""
    train, others = (LabelledEpisodes(folder, contract, recipe) for folder in toys)
    short = recipe.stage.model_copy(update={"steps": 30})
    plain = recipe.model_copy(update={"relabelled": 0.0, "clipped": 0.0, "stage": short})
    with reproducible(0, 1):
        frames = Frames.of(train.read(range(len(train))))
        generator = torch.Generator().manual_seed(0)
        model = train_rubric(frames, contract, plain, generator, silent)
    figures = rubric_figures(model, others.read(range(len(others))), plain, 0)
    assert figures["mae_other_task"] > 3.0 and figures["auc"] < 0.8


def test_what_cannot_be_trained_is_refused(
    tmp_path: Path, contract: Contract, recipe: RubricRecipe
) -> None:
    labelled(tmp_path, contract, 0, success=False)
    frames = Frames.of(LabelledEpisodes(tmp_path, contract, recipe).read([0]))
    with pytest.raises(InputError, match="replay: shows no success"):
        train_rubric(frames, contract, recipe, torch.Generator(), silent)
    other = recipe.model_copy(update={"tasks": ["sing", "dance"]})
    with pytest.raises(InputError, match="toy-000: has the task 'raise the square'"):
        train_rubric(frames, contract, other, torch.Generator(), silent)
    labelled(tmp_path, contract, 1, success=True)
    frames = Frames.of(LabelledEpisodes(tmp_path, contract, recipe).read([0, 1]))
    one = recipe.model_copy(update={"tasks": recipe.tasks[:1]})
    with pytest.raises(InputError, match="has one task and relabels"):
        train_rubric(frames, contract, one, torch.Generator(), silent)
