"""Small recipes and toy episodes for the reward models' tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.learner.reward.recipe import AnyRecipe, load_reward_recipe

from .toy_labels import TASK, labelled

Small = Callable[..., AnyRecipe]


@pytest.fixture(scope="session")
def small() -> Small:
    """A shipped recipe of a kind with small networks and few steps."""

    def made(kind: str, steps: int = 3, **changes: object) -> AnyRecipe:
        shipped = load_reward_recipe(kind, kind)
        network = shipped.network.model_copy(
            update={"channels": [4, 4, 6, 8], "camera_features": 8, "width": 16}
        )
        stage = shipped.stage.model_copy(
            update={"steps": steps, "batch": 16, "learning_rate": 5e-3, "average": 0.9}
        )
        fields: dict[str, object] = {"network": network, "stage": stage,
                                     "streams": ["image_scene"]}  # fmt: skip
        if kind == "rubric5":
            fields |= {"tasks": [TASK, "do something else"], "frames": 4, "memory": 8}
        if kind == "pairwise_progress":
            fields |= {"stride": 4, "order_stride": 1}
        return shipped.model_copy(update={**fields, **changes})

    return made


@pytest.fixture(scope="session")
def toys(tmp_path_factory: pytest.TempPathFactory, contract: Contract) -> tuple[Path, Path]:
    """Episodes to train on and others to measure with; of each, half succeed."""
    folders = tmp_path_factory.mktemp("train"), tmp_path_factory.mktemp("others")
    for seed in range(16):
        labelled(
            folders[0], contract, seed, success=seed % 2 == 0, ends_at=0.5 + 0.5 * (1 - seed % 2)
        )
    for seed in range(100, 112):
        labelled(
            folders[1], contract, seed, success=seed % 2 == 0, ends_at=0.5 + 0.5 * (1 - seed % 2)
        )
    return folders
