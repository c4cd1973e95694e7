"""A whole training, small: the same bytes again, signed, and what the robot makes of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.episodes.reward.folder import load_reward_model
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.learner.reward.episodes import LabelledEpisodes
from vla_rl_nodes.learner.reward.recipe import AnyRecipe, ClassifierRecipe
from vla_rl_nodes.learner.reward.threshold import rule_of
from vla_rl_nodes.learner.reward.train import TrainedReward, train_reward
from vla_rl_nodes.policy.signing import load_key, public_path
from vla_rl_nodes.replay.sidecars import load_label

from ..toy_replay import STEPS
from .toy_labels import TASK, labelled

pytestmark = pytest.mark.learner

Train = Callable[..., TrainedReward]


@pytest.fixture
def train(toys: tuple[Path, Path], contract: Contract, key_path: Path) -> Train:
    """Trains on the toys with a recipe into a folder."""

    def trained(
        recipe: AnyRecipe, out: Path, seed: int = 0, other: Path | None = toys[1]
    ) -> TrainedReward:
        return train_reward(toys[0], other, contract, recipe, out, seed, load_key(key_path))

    return trained


def test_a_classifier_from_start_to_robot(
    train: Train,
    small: Callable[..., AnyRecipe],
    toys: tuple[Path, Path],
    contract: Contract,
    key_path: Path,
    tmp_path: Path,
) -> None:
    recipe = small("success_classifier", 40, positive_s=0.2, margin_s=0.15, consecutive=2, folds=2)
    assert isinstance(recipe, ClassifierRecipe)
    made = train(recipe, tmp_path / "one")
    model = load_reward_model(tmp_path / "one", contract, [public_path(key_path)])
    manifest = model.manifest
    assert made.signed and model.signed_by and made.source == model.source
    assert manifest.kind == "success_classifier" and manifest.stand_in
    assert manifest.inputs == ["image_scene"] and manifest.threshold_rule == rule_of(recipe)
    assert manifest.trained_on.episodes == 16 and manifest.figures == made.figures
    assert made.figures["held_out_episodes"] == 12 and made.figures["auc"] > 0.9
    hashed = LabelledEpisodes(toys[0], contract, recipe).labels_sha256(range(16))
    assert manifest.trained_on.labels_sha256 == hashed
    train(recipe, tmp_path / "two")
    for name in ("model.onnx", "manifest.json", "manifest.sig"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    with pytest.raises(InputError, match="one: is there already"):
        train(recipe, tmp_path / "one")


@pytest.mark.parametrize("kind", ["steps_to_go", "pairwise_progress", "rubric5"])
def test_each_kind_makes_what_the_robot_reads(
    train: Train,
    small: Callable[..., AnyRecipe],
    contract: Contract,
    key_path: Path,
    tmp_path: Path,
    kind: str,
) -> None:
    made = train(small(kind), tmp_path / "m", other=None)
    manifest = load_reward_model(tmp_path / "m", contract, [public_path(key_path)]).manifest
    assert manifest.kind == kind and manifest.stand_in and manifest.figures == made.figures
    assert manifest.trained_on.episodes == 12  # one in four is held out
    if kind == "rubric5":
        assert manifest.tasks == [TASK, "do something else"] and manifest.frames == 4
    if kind == "steps_to_go":
        assert manifest.steps_max == STEPS


def test_a_value_labels_the_episodes(
    train: Train,
    small: Callable[..., AnyRecipe],
    toys: tuple[Path, Path],
    contract: Contract,
    tmp_path: Path,
) -> None:
    recipe = small("value_ranking")
    made = train(recipe, tmp_path)
    assert made.source == "value_ranking/value_ranking" and not made.signed
    train(recipe, tmp_path, seed=1)
    for header in LabelledEpisodes(toys[0], contract, recipe).headers:
        one, two = (load_label(tmp_path, header, "value_ranking", v) for v in (1, 2))
        assert one.header.kind == "value" and one.header.producer == "vla-rl learner reward"
        assert one.values.shape == (STEPS + 1,) and np.isfinite(one.values).all()
        assert not np.array_equal(one.values, two.values)


def test_it_is_not_measured_on_what_it_was_trained_on(
    train: Train, small: Callable[..., AnyRecipe], contract: Contract, tmp_path: Path
) -> None:
    (tmp_path / "others").mkdir()
    labelled(tmp_path / "others", contract, 3, success=True)
    with pytest.raises(InputError, match="toy-003: starts as an episode to train on"):
        train(small("steps_to_go"), tmp_path / "m", other=tmp_path / "others")
    assert not (tmp_path / "m").exists()
