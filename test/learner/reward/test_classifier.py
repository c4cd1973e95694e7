"""Which frames are positives, and that a classifier learns to tell them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from vla_rl_nodes.contract.load import load_yaml, named_file
from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.episodes.reward.spec import ClassifierSpec, Rewards
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.learner.optimise import reproducible, silent
from vla_rl_nodes.learner.reward.classifier import (
    classifier_figures,
    compared_figures,
    judged,
    targets,
    train_classifier,
)
from vla_rl_nodes.learner.reward.episodes import LabelledEpisode, LabelledEpisodes
from vla_rl_nodes.learner.reward.frames import Frames
from vla_rl_nodes.learner.reward.recipe import (
    AnyRecipe,
    ClassifierRecipe,
    load_reward_recipe,
)
from vla_rl_nodes.learner.reward.threshold import Judged
from vla_rl_nodes.replay.episode import load_header

from ..toy_replay import STEPS
from .toy_labels import labelled

pytestmark = pytest.mark.learner


@pytest.fixture(scope="module")
def recipe(small: Callable[..., AnyRecipe]) -> ClassifierRecipe:
    found = small("success_classifier", 80, positive_s=0.2, margin_s=0.15, consecutive=2)
    assert isinstance(found, ClassifierRecipe)
    return found


def episode(
    tmp_path: Path, contract: Contract, success: bool, reached: list[int] | None = None
) -> LabelledEpisode:
    header = load_header(labelled(tmp_path, contract, 0, success=success))
    usable = np.ones(STEPS + 1, dtype=np.bool_)
    usable[2] = False
    marks = None if reached is None else np.isin(np.arange(STEPS + 1), reached)
    return LabelledEpisode(header, {}, usable, success, marks, None)


def test_targets_of_an_operators_success(
    tmp_path: Path, contract: Contract, recipe: ClassifierRecipe
) -> None:
    """At 20 Hz, 0.2 s are four ticks before the last observation, 0.15 s three before these."""
    given = targets(episode(tmp_path, contract, True), recipe)
    assert np.flatnonzero(given == 1).tolist() == [20, 21, 22, 23, 24]
    assert np.flatnonzero(given == -1).tolist() == [2, 17, 18, 19]


def test_targets_of_a_failure(
    tmp_path: Path, contract: Contract, recipe: ClassifierRecipe
) -> None:
    given = targets(episode(tmp_path, contract, False), recipe)
    assert np.flatnonzero(given != 0).tolist() == [2] and given[2] == -1


def test_a_sidecar_says_it_frame_by_frame(
    tmp_path: Path, contract: Contract, recipe: ClassifierRecipe
) -> None:
    given = targets(episode(tmp_path, contract, True, [10, 11, 20]), recipe)
    assert np.flatnonzero(given == 1).tolist() == [10, 11, 20]
    assert np.flatnonzero(given == -1).tolist() == [2, 7, 8, 9]


def test_the_figures_by_hand(recipe: ClassifierRecipe) -> None:
    said = [
        Judged(np.array([0.1, 0.2, 0.9, 0.9]), reached=2, success=True),
        Judged(np.array([0.1, 0.8, 0.8, 0.1]), reached=4, success=False),
    ]
    labels = [np.array([0, -1, 1, 1], np.int8), np.array([0, 0, 0, 0], np.int8)]
    given = classifier_figures(said, labels, 0.5, recipe, 20, 0)
    assert given["auc"] == 1.0
    assert given["false_successes"] == 1 and given["missed"] == 0 and given["successes"] == 1
    assert given["hours"] == pytest.approx(4 / 20 / 3600)
    assert given["false_success_per_hour"] == pytest.approx(18000)
    assert given["false_success_per_hour_high"] == pytest.approx(4.7439 * 18000, rel=1e-4)
    assert given["delay_s"] == pytest.approx(1 / 20)  # two in a row are there one tick late


def test_other_counts_have_their_own_threshold(recipe: ClassifierRecipe) -> None:
    """The failure lights up for two ticks: three in a row tell it from the success."""
    said = [
        Judged(np.array([0.1, 0.9, 0.9, 0.9, 0.9]), reached=1, success=True),
        Judged(np.array([0.1, 0.95, 0.95, 0.1, 0.1]), reached=5, success=False),
    ]
    labels = [np.array([0, 1, 1, 1, 1], np.int8), np.zeros(5, np.int8)]
    wanted = recipe.model_copy(update={"compared": [2, 3, 9], "most_missed": 0.0})
    given = compared_figures(said, said, labels, wanted, 20)
    assert given["in_a_row_2_false_successes"] == 1 and given["in_a_row_3_false_successes"] == 0
    assert given["in_a_row_3_missed"] == 0 and 0 < given["in_a_row_3_threshold"] <= 0.9
    assert given["in_a_row_3_delay_s"] == pytest.approx(2 / 20)
    assert given["in_a_row_9_missed"] == 1  # what is held out is not thought on
    fades = Judged(np.array([0.0, 0.9, 0.9, 0.0]), reached=1, success=True)
    given = compared_figures([fades], said, labels, wanted, 20)
    assert "in_a_row_2_missed" in given and "in_a_row_3_missed" not in given
    assert (
        compared_figures(said, said, labels, recipe.model_copy(update={"compared": []}), 20) == {}
    )


def test_the_robot_asks_for_as_many_looks_as_the_threshold_was_chosen_for() -> None:
    trained = load_reward_recipe("success_classifier", "success_classifier")
    seen = load_yaml(named_file("rewards", "classifier"), Rewards).backends["seen"]
    assert isinstance(trained, ClassifierRecipe) and isinstance(seen, ClassifierSpec)
    assert seen.consecutive == trained.consecutive and seen.every_s == 0.0


def test_it_learns_to_tell(
    toys: tuple[Path, Path], contract: Contract, recipe: ClassifierRecipe
) -> None:
    train, others = (LabelledEpisodes(folder, contract, recipe) for folder in toys)
    with reproducible(0, 1):
        model = train_classifier(
            Frames.of(train.read(range(len(train)))),
            contract,
            recipe,
            torch.Generator().manual_seed(0),
            silent,
        )
    said, labels = judged(model, others.read(range(len(others))), recipe)
    figures = classifier_figures(said, labels, 0.5, recipe, 20, 0)
    assert figures["auc"] > 0.98 and figures["missed"] <= 1
    assert figures["auc_low"] <= figures["auc"] <= figures["auc_high"]


def test_one_outcome_alone_is_refused(
    tmp_path: Path, contract: Contract, recipe: ClassifierRecipe
) -> None:
    labelled(tmp_path, contract, 0, success=False)
    episodes = LabelledEpisodes(tmp_path, contract, recipe)
    with pytest.raises(InputError, match="replay: shows no success"):
        train_classifier(
            Frames.of(episodes.read([0])), contract, recipe, torch.Generator(), silent
        )
