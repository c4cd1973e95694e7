"""The plane's recipes are read as they are shipped, and contradictions are named."""

from __future__ import annotations

from pathlib import Path

import pytest

from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.learner.plane_recipe import load_plane_recipe, load_toy_recipe
from vla_rl_nodes.learner.recipe import recipe_path


def test_the_shipped_recipes() -> None:
    plane, toy = load_plane_recipe("plane_consistency"), load_toy_recipe("plane_toy")
    assert (plane.name, plane.control) == ("plane_consistency", "plane_bc")
    assert toy.name == "plane_toy"
    assert plane.threads == toy.threads == 1  # more would give other weights
    action = load_contract("plane").action
    assert plane.network.width >= 2 * action.chunk_length * len(action.names)


def test_a_weak_student_must_be_an_early_one(tmp_path: Path) -> None:
    text = recipe_path("plane_consistency").read_text()
    steps = load_plane_recipe("plane_consistency").student.steps
    path = tmp_path / "late.yaml"
    path.write_text(text.replace("weak_after: 10\n", f"weak_after: {steps}\n"))
    with pytest.raises(InputError, match="weak_after") as raised:
        load_plane_recipe(path)
    assert "\n" not in str(raised.value)


def test_the_toys_recipe_is_not_the_planes() -> None:
    with pytest.raises(InputError):
        load_plane_recipe(recipe_path("plane_toy"))
