"""A short run of the whole recipe: it learns to look, and the engine runs what it made."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.learner.recipe import Recipe
from vla_rl_nodes.learner.train import Trained, train
from vla_rl_nodes.policy.bundle import load_bundle
from vla_rl_nodes.policy.engine import OnnxEngine
from vla_rl_nodes.policy.signing import load_key

from .toy_replay import STEPS, toy_episode, write_episode

pytestmark = pytest.mark.learner

Make = Callable[[range], list[Path]]


@pytest.fixture(scope="module")
def trained(
    tmp_path_factory: pytest.TempPathFactory,
    contract: Contract,
    small_recipe: Recipe,
    key_path: Path,
) -> tuple[Trained, list[tuple[str, int, int, float]]]:
    folder = tmp_path_factory.mktemp("replay")
    for seed in range(60):
        write_episode(folder / f"toy-{seed:03d}", contract, seed, toy_episode(contract, seed))
    reports: list[tuple[str, int, int, float]] = []
    made = train(
        sorted(folder.iterdir()),
        contract,
        small_recipe,
        tmp_path_factory.mktemp("out") / "bundle",
        seed=0,
        key=load_key(key_path),
        progress=lambda *report: reports.append(report),
    )
    return made, reports


def test_it_learns_from_the_images(
    trained: tuple[Trained, list[tuple[str, int, int, float]]],
) -> None:
    metrics = trained[0].metrics
    # On held-out episodes, against always giving the mean action and against not looking.
    assert metrics["error_delay_0"] < 0.75 * metrics["error_mean_action"]
    assert metrics["error_delay_0"] < 0.75 * metrics["error_blind"]
    # Committed actions tell more: the longer the prefix, the smaller the error of the rest.
    assert metrics["error_delay_6"] < metrics["error_delay_3"] < metrics["error_delay_0"]
    assert metrics["export_difference"] <= 1e-4


def test_every_stage_reports_to_its_end_and_improves(
    trained: tuple[Trained, list[tuple[str, int, int, float]]], small_recipe: Recipe
) -> None:
    for name, steps in (
        ("encoder", small_recipe.encoder.steps),
        ("teacher", small_recipe.teacher.steps),
        ("student", small_recipe.student.steps),
    ):
        reports = [report for report in trained[1] if report[0] == name]
        assert reports[-1][1:3] == (steps, steps)
        assert reports[-1][3] < 0.7 * reports[0][3]


def test_the_engine_runs_the_bundle(
    trained: tuple[Trained, list[tuple[str, int, int, float]]],
    contract: Contract,
    key_path: Path,
    small_recipe: Recipe,
) -> None:
    made = trained[0]
    bundle = load_bundle(made.bundle, contract, [key_path.with_suffix(".pub")])
    assert bundle.version == made.version
    assert bundle.manifest.training.windows == 45 * STEPS
    assert bundle.manifest.training.episodes == 60
    assert Recipe.model_validate(yaml.safe_load(bundle.files["recipe.yaml"])) == small_recipe
    engine = OnnxEngine(bundle)
    steps = toy_episode(contract, 1000)
    noise = np.random.default_rng(0).standard_normal((16, 5)).astype(np.float32)
    sighted, blind = [], []
    for tick in range(STEPS):
        observation = {key: value[tick] for key, value in steps.observations.items()}
        label = steps.chunk[tick]
        chunk = engine.infer(observation, label, 1, noise)
        assert np.array_equal(chunk[:1], label[:1])
        sighted.append(np.abs(chunk[1:, :2] - label[1:, :2]).mean())
        for key in ("image_scene", "image_wrist"):
            observation[key] = np.zeros_like(observation[key])
        chunk = engine.infer(observation, label, 1, noise)
        blind.append(np.abs(chunk[1:, :2] - label[1:, :2]).mean())
    assert np.mean(sighted) < 0.75 * np.mean(blind)  # metres a tick


def test_the_same_seed_gives_the_same_bundle_and_another_does_not(
    make_replay: Make, contract: Contract, small_recipe: Recipe, key_path: Path, tmp_path: Path
) -> None:
    folders = make_replay(range(8))
    brief = small_recipe.model_copy(
        update={
            name: getattr(small_recipe, name).model_copy(update={"steps": 12})
            for name in ("encoder", "teacher", "student")
        }
    )
    key = load_key(key_path)
    versions = []
    for number, seed in enumerate((4, 4, 5)):
        torch.manual_seed(number)  # the process' own random state must not matter
        out = tmp_path / f"bundle-{number}"
        versions.append(train(folders, contract, brief, out, seed, key).version)
    assert versions[0] == versions[1] != versions[2]
    assert not torch.are_deterministic_algorithms_enabled()


def test_an_existing_folder_is_refused_before_training(
    make_replay: Make, contract: Contract, small_recipe: Recipe, key_path: Path, tmp_path: Path
) -> None:
    out = tmp_path / "bundle"
    out.mkdir()
    with pytest.raises(InputError, match="is there already"):
        train(make_replay(range(4)), contract, small_recipe, out, 0, load_key(key_path))
    assert list(out.iterdir()) == []
