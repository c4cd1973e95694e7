"""The shipped recipe loads; a wrong key or number is one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.learner.recipe import load_recipe, recipe_path

pytestmark = pytest.mark.learner

TEXT = recipe_path("franka_pick_consistency").read_text()


def test_the_shipped_recipe_is_the_one_it_says() -> None:
    recipe = load_recipe("franka_pick_consistency")
    assert recipe.name == "franka_pick_consistency"
    assert 0 <= recipe.augmentation.shift_px < 8


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("threads: 1", "thread: 2", "did you mean 'threads'?"),
        ("threads: 1", "threads: 0", "greater than or equal to 1"),
        ("  teacher_steps: 8", "  teacher_step: 8", "did you mean 'teacher_steps'?"),
        ("  huber: 0.03", "  huber: -1.0", "greater than 0"),
        ("  copies: 4\n", "", "is missing"),
        ("recipe: 1", "recipe: 2", "recipe: "),
    ],
)
def test_a_wrong_recipe_is_refused_in_one_line(
    tmp_path: Path, old: str, new: str, said: str
) -> None:
    assert TEXT.count(old) == 1
    path = tmp_path / "wrong.yaml"
    path.write_text(TEXT.replace(old, new))
    with pytest.raises(InputError) as caught:
        load_recipe(path)
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_an_unknown_name_lists_what_there_is() -> None:
    with pytest.raises(InputError, match="franka_pick_consistency"):
        load_recipe("franka_push")
