"""What the learner's tests share: contract, key, a small recipe and toy replay."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.learner.recipe import Recipe, load_recipe

from .toy_replay import toy_episode, write_episode


@pytest.fixture(autouse=True)
def _single_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def small_recipe() -> Recipe:
    """The shipped recipe with smaller networks and fewer steps."""
    shipped = load_recipe("franka_pick_consistency")
    return shipped.model_copy(
        update={
            "threads": 1,
            "held_out_every": 4,
            "network": shipped.network.model_copy(
                update={"channels": [8, 12, 12, 16], "camera_features": 24, "condition": 48,
                        "width": 96, "blocks": 2}
            ),
            "augmentation": shipped.augmentation.model_copy(update={"shift_px": 1, "copies": 1}),
            "encoder": shipped.encoder.model_copy(
                update={"steps": 250, "batch": 48, "learning_rate": 3e-3, "average": 0.95}
            ),
            "teacher": shipped.teacher.model_copy(
                update={"steps": 1000, "batch": 96, "learning_rate": 2e-3, "average": 0.98}
            ),
            "student": shipped.student.model_copy(
                update={"steps": 500, "batch": 96, "average": 0.98}
            ),
        }
    )  # fmt: skip


@pytest.fixture
def make_replay(tmp_path: Path, contract: Contract) -> Callable[..., list[Path]]:
    """Writes toy episodes with the given seeds."""

    def make(seeds: range) -> list[Path]:
        folders = []
        for seed in seeds:
            folder = tmp_path / f"toy-{seed:03d}"
            write_episode(folder, contract, seed, toy_episode(contract, seed))
            folders.append(folder)
        return folders

    return make
