"""Device files: the shipped ones load, every key is described, and wrong ones are one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.intervention.settings import DeviceSettings, load_device
from vla_rl_nodes.resources import resource

SHIPPED = sorted(path.stem for path in resource("config/intervention").glob("*.yaml"))


def models(model: type[BaseModel]) -> set[type[BaseModel]]:
    """A model and those that it holds."""
    found = {model}
    for field in model.model_fields.values():
        waiting = [field.annotation]
        while waiting:
            kind = waiting.pop()
            waiting += list(getattr(kind, "__args__", ()) or ())
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                found |= models(kind)
    return found


def test_every_kind_of_device_is_shipped() -> None:
    assert SHIPPED == ["gamepad", "gello_fr3", "keyboard", "page", "spacemouse",
                       "spacemouse_joy", "twist"]  # fmt: skip


@pytest.mark.parametrize("name", SHIPPED)
def test_the_shipped_devices_load_by_their_name(name: str) -> None:
    assert load_device(name).name == name


def test_every_key_is_described() -> None:
    found = models(DeviceSettings)
    assert len(found) >= 10
    for model in found:
        for key, field in model.model_fields.items():
            assert field.description, f"{model.__name__}.{key}"


@pytest.mark.parametrize(
    ("device", "change", "said"),
    [
        ("spacemouse", {"dead_zone": 1.0}, "dead_zone: input should be less than or"),
        ("spacemouse", {"deadzone": 0.1}, "did you mean 'dead_zone'?"),
        ("spacemouse", {"topic": "/spacenav/twist"}, "not a relative topic name"),
        ("spacemouse", {"type": "sensor_msgs/msg/Joy"}, "kind twist comes as geometry_msgs"),
        ("spacemouse", {"release_delay_s": 0.0}, "release_delay_s: input should be greater"),
        ("spacemouse", {"speed": {"linear": 0.0, "angular": 1.0, "joint": 1.0}}, "speed.linear"),
        ("spacemouse", {"speed": {"linear": 1.1, "angular": 1.0, "joint": 1.0}}, "speed.linear"),
        ("spacemouse", {"speed": {"linear": 1.0, "angular": 2.1, "joint": 1.0}}, "speed.angular"),
        ("spacemouse", {"speed": {"linear": 1.0, "angular": 1.0, "joint": 2.1}}, "speed.joint"),
        ("spacemouse", {"noise": {"level": 1e9, "reversals": 6, "window_s": 0.5}}, "noise.level"),
        ("spacemouse", {"engage": {"by": "hold"}}, "needs a button"),
        ("spacemouse", {"engage": {"by": "motion", "button": 1}}, "needs a button exactly where"),
        ("spacemouse", {"engage": {"by": "hold", "button": 0}}, "engages and moves the gripper"),
        ("spacemouse", {"gripper": {}}, "needs different buttons"),
        ("spacemouse", {"gripper": {"open": 1, "close": 1}}, "needs different buttons"),
        ("spacemouse", {"buttons_topic": None}, "has no buttons; give buttons_topic"),
        ("spacemouse", {"axes": {}}, "a twist has axes, not joints"),
        ("spacemouse", {"axes": {"x": {"index": 0}}}, "axis x of a twist is a field"),
        ("spacemouse", {"axes": {"x": {"field": "linear.x", "index": 0}}}, "not exactly one"),
        ("spacemouse", {"axes": {"w": {"field": "linear.x"}}}, "axes.w"),
        ("spacemouse", {"axes": {"x": {"field": "linear.x", "full_scale": 0.0}}}, "full_scale"),
        ("gamepad", {"buttons_topic": "joy2"}, "a joy has its buttons itself"),
        ("gamepad", {"axes": {"x": {"index": 64}}}, "axes.x.index"),
        ("gello_fr3", {"leader": None}, "a leader has joints, not axes"),
        ("gello_fr3", {"engage": {"by": "motion"}}, "a leader is engaged by a button"),
        ("twist", {"intervention": 2}, "intervention: input should be 1"),
        ("twist", {"blend": {"in_s": float("nan"), "out_s": 0.0}}, "blend.in_s"),
        ("twist", {"on_loss": {"then": "run", "after_s": 0.0}}, "on_loss.then"),
    ],
)
def test_a_wrong_file_is_one_line_that_names_the_key(
    tmp_path: Path, device: str, change: dict[str, Any], said: str
) -> None:
    data = yaml.safe_load((resource("config/intervention") / f"{device}.yaml").read_text())
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(data | change))
    with pytest.raises(InputError) as error:
        load_device(path)
    assert said in str(error.value) and "\n" not in str(error.value)
    assert str(path) in str(error.value)


def test_an_unknown_name_is_told_with_those_that_there_are() -> None:
    with pytest.raises(InputError, match="spacemouse_joy"):
        load_device("space_mouse")


@pytest.mark.parametrize(
    ("key", "value"),
    [("joint", 0.51), ("joint", float("nan")), ("linear", 0.11), ("angular", 0.51),
     ("gripper", 0.11)],
)  # fmt: skip
def test_a_leader_that_is_far_away_never_matches(tmp_path: Path, key: str, value: float) -> None:
    data = yaml.safe_load((resource("config/intervention") / "gello_fr3.yaml").read_text())
    data["leader"]["matching"][key] = value
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(data))
    with pytest.raises(InputError, match=f"matching.{key}"):
        load_device(path)


@pytest.mark.parametrize("trigger", [None, "fr3_joint7"])
def test_a_leaders_joints_have_different_names(tmp_path: Path, trigger: str | None) -> None:
    data = yaml.safe_load((resource("config/intervention") / "gello_fr3.yaml").read_text())
    if trigger is None:
        data["leader"]["joints"][6]["name"] = "fr3_joint1"
    else:
        data["leader"]["gripper"] = {"name": trigger, "open": 0.5, "closed": 0.0}
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(data))
    with pytest.raises(InputError, match="stands twice"):
        load_device(path)


def test_a_trigger_needs_two_positions(tmp_path: Path) -> None:
    data = yaml.safe_load((resource("config/intervention") / "gello_fr3.yaml").read_text())
    data["leader"]["gripper"] = {"name": "trigger", "open": 0.5, "closed": 0.5}
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(data))
    with pytest.raises(InputError, match="open where it is closed"):
        load_device(path)
