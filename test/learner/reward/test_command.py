"""`vla-rl learner reward` from the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from vla_rl_nodes.cli import main
from vla_rl_nodes.cli_learner import REWARD_KINDS
from vla_rl_nodes.learner.reward.recipe import RECIPES, AnyRecipe, load_reward_recipe

pytestmark = pytest.mark.learner


@pytest.fixture
def recipe(small: Callable[..., AnyRecipe], tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump(small("steps_to_go").model_dump(mode="json")))
    return path


def arguments(toys: tuple[Path, Path], recipe: Path, out: Path) -> list[str]:
    return [
        "learner", "reward", "--kind", "steps_to_go", "--replay", str(toys[0]), "--held-out",
        str(toys[1]), "--out", str(out), "--recipe", str(recipe), "--key", str(out) + ".pem",
    ]  # fmt: skip


def test_it_trains_and_says_how_good_it_is(
    toys: tuple[Path, Path], recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*arguments(toys, recipe, tmp_path / "m"), "--json"]) == 0
    printed = capsys.readouterr()
    told = json.loads(printed.out)
    assert told["out"] == str(tmp_path / "m") and told["figures"]["successes"] == 6
    assert told["source"].startswith("steps_to_go/franka_pick_steps@")
    assert "made the signing key" in printed.err and (tmp_path / "m" / "manifest.sig").exists()
    assert main(arguments(toys, recipe, tmp_path / "again")) == 0
    text = capsys.readouterr().out
    assert "a small stand-in model" in text and "robots accept it when" in text


def test_bad_input_is_one_line(
    toys: tuple[Path, Path], recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = arguments(toys, recipe, tmp_path / "m")
    given[given.index("steps_to_go")] = "rubric5"
    assert main(given) == 2
    error = capsys.readouterr().err.strip()
    assert "kind: is steps_to_go, not rubric5; give a recipe of that kind" in error
    assert "\n" not in error
    (tmp_path / "empty").mkdir()
    given = arguments((tmp_path / "empty", toys[1]), recipe, tmp_path / "m")
    assert main(given) == 2
    assert "holds no labelled episode; make some with" in capsys.readouterr().err
    assert not (tmp_path / "m").exists()


def test_every_kind_has_its_recipe() -> None:
    assert set(REWARD_KINDS) == set(RECIPES)
    for kind in REWARD_KINDS:
        assert load_reward_recipe(kind, kind).kind == kind
