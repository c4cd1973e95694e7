"""A task's reset as YAML: what is wrong in it is said in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from vla_rl_nodes.episodes.reset.script import load_script
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.resources import resource


def test_the_shipped_script_puts_the_cube_back() -> None:
    script = load_script("franka_pick")
    assert [step.do for step in script.steps] == ["put_back", "gripper"]
    assert script.described("cube").edge_m == 0.04


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("do: put_back", "do: throw", "steps.0"),
        ("object: cube", "object: ball", "a step puts back 'ball'"),
        ("hover_m: 0.12", "hover_m: -0.1", "pick.hover_m"),
        ("reset: 1", "reset: 1\nsurprise: 2", "unknown key"),
        ("width_m: 0.08", "width_m: .inf", "width_m"),
        ("upright: any_face", "upright: maybe", "upright"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, old: str, new: str, words: str) -> None:
    text = resource("config/resets/franka_pick.yaml").read_text()
    assert old in text
    path = tmp_path / "other.yaml"
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(InputError) as caught:
        load_script(path)
    assert words in str(caught.value) and "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
