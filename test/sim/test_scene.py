"""Scene files: the shipped ones load, wrong ones give one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.resources import resource
from vla_rl_nodes.sim.scene import load_scene


@pytest.fixture
def text() -> dict[str, Any]:
    path = resource("config/scenes/franka_pick.yaml")
    data: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return data


def load(tmp_path: Path, data: dict[str, Any]) -> None:
    path = tmp_path / "scene.yaml"
    path.write_text(yaml.safe_dump(data), encoding="utf-8")
    load_scene(path)


def test_shipped_scenes_load() -> None:
    names = {path.stem for path in resource("config/scenes").glob("*.yaml")}
    assert names == {"franka_pick", "table", "floor"}
    assert {load_scene(name).name for name in names} == names


def test_support_is_the_table_or_else_the_floor() -> None:
    assert load_scene("franka_pick").support_m == 0.0
    floor = load_scene("floor")
    assert floor.table is None and floor.support_m == floor.floor.height_m


def test_unknown_key_names_the_file_and_the_key(tmp_path: Path, text: dict[str, Any]) -> None:
    text["objects"][0]["wieght"] = 1.0
    with pytest.raises(InputError, match=r"scene\.yaml: objects\.0\.wieght: unknown key"):
        load(tmp_path, text)


def test_two_cameras_of_one_name_are_refused(tmp_path: Path, text: dict[str, Any]) -> None:
    text["cameras"][1]["name"] = text["cameras"][0]["name"]
    with pytest.raises(InputError, match="camera 'scene' stands twice"):
        load(tmp_path, text)


def test_task_needs_its_object(tmp_path: Path, text: dict[str, Any]) -> None:
    text["objects"] = []
    with pytest.raises(InputError, match="task needs 'cube'"):
        load(tmp_path, text)


def test_lamp_that_shines_on_itself_is_refused(tmp_path: Path, text: dict[str, Any]) -> None:
    text["lamps"][0]["target_m"] = text["lamps"][0]["position_m"]
    with pytest.raises(InputError, match="shines on itself"):
        load(tmp_path, text)


@pytest.mark.parametrize(("key", "value"), [("edge_m", 0.0), ("mass_kg", -1.0)])
def test_impossible_object_is_refused(
    tmp_path: Path, text: dict[str, Any], key: str, value: float
) -> None:
    text["objects"][0][key] = value
    with pytest.raises(InputError, match=rf"objects\.0\.{key}"):
        load(tmp_path, text)
