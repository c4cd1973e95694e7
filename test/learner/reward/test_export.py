"""The graphs have the ports that the reward node asks for, and say what torch says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import numpy as np
import onnxruntime
import pytest
import torch

from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.episodes.reward.folder import load_reward_model, write_reward_model
from vla_rl_nodes.episodes.reward.graph import RewardGraph
from vla_rl_nodes.episodes.reward.manifest import Kind
from vla_rl_nodes.learner.reward.episodes import LabelledEpisodes
from vla_rl_nodes.learner.reward.export import (
    export_classifier,
    export_pair_critic,
    export_rubric,
    export_steps_to_go,
)
from vla_rl_nodes.learner.reward.frames import Frames
from vla_rl_nodes.learner.reward.judges import (
    Classifier,
    Observer,
    PairCritic,
    Rubric,
    StepsToGo,
)
from vla_rl_nodes.learner.reward.recipe import AnyRecipe
from vla_rl_nodes.policy.signing import load_key, public_path

from ..small_policy import lively

pytestmark = pytest.mark.learner

FIELDS: dict[Kind, dict[str, Any]] = {
    "success_classifier": {"threshold": 0.5, "threshold_rule": "none"},
    "steps_to_go": {"steps_max": 24.0},
    "pairwise_progress": {},
    "rubric5": {"frames": 3, "tasks": ["one", "two"]},
}


@pytest.fixture(scope="module")
def made(
    toys: tuple[Path, Path], contract: Contract, small: Callable[..., AnyRecipe]
) -> Callable[[Kind], tuple[torch.nn.Module, bytes]]:
    """A model of a kind with lively random weights, and its graph; all but the rubric see the
    vectors, too."""

    def make(kind: Kind) -> tuple[torch.nn.Module, bytes]:
        keys = ["image_wrist", "state"] if kind != "rubric5" else ["image_scene", "image_wrist"]
        recipe = small(kind, streams=keys)
        frames = Frames.of(LabelledEpisodes(toys[0], contract, recipe).read([0, 1]))
        observer = Observer(contract, frames, recipe.network)
        model: torch.nn.Module
        match kind:
            case "success_classifier":
                model = _random(Classifier(observer, 8))
                graph = export_classifier(model, contract)
            case "steps_to_go":
                model = _random(StepsToGo(observer, 8, 24.0))
                graph = export_steps_to_go(model, contract)
            case "pairwise_progress":
                model = _random(PairCritic(observer, 8))
                graph = export_pair_critic(model, contract)
            case "rubric5":
                model = _random(Rubric(observer, 8, 6, 2))
                graph = export_rubric(model, contract, 3)
        return model, graph

    return make


def _random(model: torch.nn.Module) -> Any:
    lively(model, 1)
    return model


@pytest.mark.parametrize("kind", get_args(Kind))
def test_the_robot_runs_what_torch_has(
    made: Callable[[Kind], tuple[torch.nn.Module, bytes]],
    contract: Contract,
    key_path: Path,
    tmp_path: Path,
    kind: Kind,
) -> None:
    model, graph = made(kind)
    keys = model.observer.keys  # type: ignore[union-attr]
    fields = {
        "kind": kind, "name": "trial", "inputs": keys, "figures": {}, "stand_in": True,
        "trained_on": {"episodes": 2, "labels_sha256": "ab" * 32}, **FIELDS[kind],
    }  # fmt: skip
    write_reward_model(tmp_path / "m", contract, graph, fields, load_key(key_path))
    robot = RewardGraph(load_reward_model(tmp_path / "m", contract, [public_path(key_path)]))
    rng = np.random.default_rng(3)

    def look() -> dict[str, np.ndarray]:
        return {
            s.key: rng.integers(0, 256, s.shape).astype(np.uint8)
            if s.kind == "image"
            else rng.normal(size=s.shape).astype(np.float32)
            for s in contract.streams
            if s.key in keys
        }

    one, two = look(), look()
    torched = [{k: torch.from_numpy(v)[None] for k, v in seen.items()} for seen in (one, two)]
    with torch.no_grad():
        match kind:
            case "pairwise_progress":
                given = robot.run(
                    {f"before/{k}": v for k, v in one.items()}
                    | {f"after/{k}": v for k, v in two.items()}
                )
                wanted = {"critic": model(*torched)}
                assert abs(float(wanted["critic"] + model(*torched[::-1]))) > 1e-3  # order counts
            case "rubric5":
                film = {k: np.stack([v, two[k], v]) for k, v in one.items()}
                task = np.array(1, np.int64)
                given = robot.run({**{f"frames/{k}": v for k, v in film.items()}, "task": task})
                shown = {k: torch.from_numpy(v)[None] for k, v in film.items()}
                wanted = {"scores": model(shown, torch.tensor([1]))}
                assert not torch.allclose(wanted["scores"], model(shown, torch.tensor([0])))
            case "steps_to_go":
                given = robot.run(one)
                wanted = dict(zip(("steps", "spread"), model(torched[0]), strict=True))
            case _:
                given = robot.run(one)
                wanted = {"probability": model(torched[0])}
    assert given.keys() == wanted.keys()
    for name, value in wanted.items():
        assert np.abs(np.asarray(given[name]) - value[0].numpy()).max() <= 1e-4


def test_the_same_weights_give_the_same_bytes(
    made: Callable[[Kind], tuple[torch.nn.Module, bytes]],
) -> None:
    first, second = made("rubric5")[1], made("rubric5")[1]
    assert first == second and len(first) < 1_000_000
    inputs = {i.name: i.shape for i in onnxruntime.InferenceSession(first).get_inputs()}
    assert inputs["frames/image_wrist"] == ["batch", 3, 64, 64, 3] and inputs["task"] == ["batch"]
