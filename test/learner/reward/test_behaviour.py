"""How good the stand-ins are on unseen episodes of the simulated task; minutes each.

Three seeds of training on the same episodes; what is measured is printed (``pytest -s``).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from vla_rl_nodes.bench.people.classifier import make_episodes
from vla_rl_nodes.bench.people.labelled_episodes import LabelledEpisodes
from vla_rl_nodes.bench.people.scored_episodes import write_scored
from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.learner.reward.recipe import load_reward_recipe
from vla_rl_nodes.learner.reward.train import train_reward
from vla_rl_nodes.policy.signing import load_key

pytestmark = [pytest.mark.learner, pytest.mark.nightly]

SEEDS = range(3)
Figures = list[dict[str, float]]
Measure = Callable[..., Figures]


@pytest.fixture(scope="module")
def picking(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """60 labelled episodes to train on, and as many others."""
    folders = tmp_path_factory.mktemp("train"), tmp_path_factory.mktemp("others")
    for folder, first in zip(folders, (5_000_000, 6_000_000), strict=True):
        make_episodes(folder, first, 60, lambda *_: None)
    return folders


@pytest.fixture(scope="module")
def going_on(
    picking: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path]:
    """The same, of which the others' successes go on for a second, as on the robot."""
    others = tmp_path_factory.mktemp("going_on")
    make_episodes(others, 6_000_000, 60, lambda *_: None, after_s=1.0)
    return picking[0], others


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Demonstrations of two tasks to train on, and as many failures to measure with."""
    folders = tmp_path_factory.mktemp("demonstrations"), tmp_path_factory.mktemp("outcomes")
    with LabelledEpisodes() as maker:
        write_scored(maker, folders[0], 7_000_000, 80, failing=0.0)
        write_scored(maker, folders[1], 8_000_000, 120, failing=0.5)
    return folders


@pytest.fixture
def measure(contract: Contract, key_path: Path, tmp_path: Path) -> Measure:
    """The figures of a kind, of each seed."""

    def measured(kind: str, data: tuple[Path, Path], **changes: object) -> Figures:
        recipe = load_reward_recipe(kind, kind).model_copy(update=changes)
        figures = []
        for seed in SEEDS:
            out, key = tmp_path / f"{seed}{len(changes)}", load_key(key_path)
            made = train_reward(data[0], data[1], contract, recipe, out, seed, key)
            print(kind, changes, seed, made.figures)
            figures.append(made.figures)
        return figures

    return measured


def test_pairwise_progress(picking: tuple[Path, Path], measure: Measure) -> None:
    for figures in measure("pairwise_progress", picking):
        assert figures["voc"] >= 0.9 and figures["voc_shuffled"] <= 0.3
        assert figures["backtrack_auc"] >= 0.9


def test_value_by_ranking(picking: tuple[Path, Path], measure: Measure) -> None:
    for figures in measure("value_ranking", picking):
        assert figures["ordering"] >= 0.95


def test_steps_to_go(going_on: tuple[Path, Path], measure: Measure) -> None:
    for figures in measure("steps_to_go", going_on, success_label="done"):
        assert figures["error"] <= 5.0
        assert figures["precision"] >= 0.95 and figures["recall"] >= 0.9


def test_rubric_and_what_its_negatives_are_for(
    scored: tuple[Path, Path], measure: Measure
) -> None:
    whole = measure("rubric5", scored)
    without = measure("rubric5", scored, relabelled=0.0, clipped=0.0)
    for figures, plain in zip(whole, without, strict=True):
        assert figures["mae"] <= 0.5 and figures["auc"] >= 0.95
        assert plain["auc"] <= figures["auc"] - 0.1
