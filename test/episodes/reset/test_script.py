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
        ("hover_m: 0.12", "hover_m: 50.0", "pick.hover_m"),
        ("approach_speed: 0.08", "approach_speed: 100.0", "pick.approach_speed"),
        ("lowest_tool_m: 0.015", "lowest_tool_m: -5.0", "pick.lowest_tool_m"),
        ("grip_share: [0.7, 1.45]", "grip_share: [1.45, 0.7]", "give the lower first"),
        ("grip_share: [0.7, 1.45]", "grip_share: [0.7, 9.0]", "grip_share"),
        ("gripper_m: 0.08", "gripper_m: 5.0", "gripper_m"),
        ("position_m: [0.48, 0.0, 0.30]", "position_m: [9.0, 9.0, 9.0]", "tool_start.position_m"),
        ("edge_m: 0.04", "edge_m: 4.0", "edge_m"),
        ("width_m: 0.08", "width_m: 5.0", "width_m"),
        ("{do: put_back, object: cube}", "{do: tool, by_m: [0.0, 0.0, -3.0]}", "by_m"),
        ("{do: put_back, object: cube}", "{do: tool, by_m: [0.0, 0.0, 0.1], speed: 50.0}",
         "speed"),
        ("{do: put_back, object: cube}", "{do: rest, seconds: 1.0e+9}", "seconds"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(tmp_path: Path, old: str, new: str, words: str) -> None:
    text = resource("config/resets/franka_pick.yaml").read_text()
    assert old in text
    path = tmp_path / "other.yaml"
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(InputError) as caught:
        load_script(path)
    assert words in str(caught.value) and "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
