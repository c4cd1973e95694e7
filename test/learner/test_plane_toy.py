"""The toy's training, and its figures on graphs whose answer is known."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.learner.export import onnx_bytes
from vla_rl_nodes.learner.flow import prefix_mask
from vla_rl_nodes.learner.plane_recipe import ToyRecipe, load_toy_recipe
from vla_rl_nodes.learner.plane_toy import train_toy
from vla_rl_nodes.sim.plane.toy import toy_figures, toy_rows


class Known(nn.Module):
    """Constant chunks in one of the modes; with a prefix in the prefix's, or in the other."""

    def __init__(self, *, faithful: bool) -> None:
        super().__init__()
        self.sign = 1.0 if faithful else -1.0

    def forward(self, state: Tensor, prefix: Tensor, delay: Tensor, noise: Tensor) -> Tensor:
        given = prefix[:, 0] * self.sign
        mode = torch.where(delay[:, None] > 0, given, noise[:, 0]).sign()
        chunk = (mode * state)[:, None] + 0.0 * noise
        return torch.where(prefix_mask(delay, 16)[:, :, None], prefix, chunk)


def written(folder: Path, module: nn.Module) -> Path:
    example = {
        "state": torch.ones(2, 1),
        "prefix": torch.zeros(2, 16, 1),
        "delay": torch.zeros(2, dtype=torch.int64),
        "noise": torch.zeros(2, 16, 1),
    }
    path = folder / "known.onnx"
    path.write_bytes(onnx_bytes(module, example, ["chunk"]))
    return path


def test_figures_of_a_faithful_graph(tmp_path: Path) -> None:
    figures = toy_figures(written(tmp_path, Known(faithful=True)), 0)
    assert figures["mode_switch"] == 0.0
    assert figures["jump"] == 0.0
    assert figures["prefix_error"] == 0.0
    assert 0.48 < figures["naive_mode_switch"] < 0.52
    assert 1.2 < figures["naive_jump"] <= 2.0  # from one mode to the other
    # 16 draws all miss the mode once in 65536 times.
    assert figures["best_of_16_mode_switch"] < 0.001
    assert 0.08 < figures["natural_jump"] < 0.14


def test_figures_of_a_graph_that_always_switches(tmp_path: Path) -> None:
    figures = toy_figures(written(tmp_path, Known(faithful=False)), 0)
    assert figures["mode_switch"] == 1.0
    assert figures["jump"] > 1.2
    assert figures["prefix_error"] == 0.0


@pytest.fixture(scope="module")
def recipe() -> ToyRecipe:
    shipped = load_toy_recipe("plane_toy")
    return shipped.model_copy(
        update={
            "teacher": shipped.teacher.model_copy(update={"steps": 600, "batch": 128}),
            "student": shipped.student.model_copy(update={"steps": 200, "batch": 128}),
        }
    )


def test_a_short_training_already_keeps_the_mode(tmp_path: Path, recipe: ToyRecipe) -> None:
    data = toy_rows(5000, 0)
    train_toy(tmp_path / "toy.onnx", 0, data.state, data.chunk, recipe)
    figures = toy_figures(tmp_path / "toy.onnx", 0)
    assert figures["mode_switch"] < 0.02
    assert 0.4 < figures["naive_mode_switch"] < 0.6
    assert figures["jump"] < 3.0 * figures["natural_jump"]
    assert figures["prefix_error"] == 0.0
    with pytest.raises(InputError, match="is there already"):
        train_toy(tmp_path / "toy.onnx", 0, data.state, data.chunk, recipe)


def test_the_same_seed_gives_the_same_graph(tmp_path: Path, recipe: ToyRecipe) -> None:
    data = toy_rows(500, 1)
    few = recipe.model_copy(
        update={
            "teacher": recipe.teacher.model_copy(update={"steps": 20}),
            "student": recipe.student.model_copy(update={"steps": 20}),
        }
    )
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        train_toy(tmp_path / name, seed, data.state, data.chunk, few)
    a, b, c = ((tmp_path / name).read_bytes() for name in "abc")
    assert a == b
    assert a != c
