"""What a judge is shown: the alignment rule, nothing filled in, and no picture twice."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.episodes.reward.looks import Looks
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.ingest.buffer import Sample

CONTRACT = load_contract("franka_pick")
MS = 1_000_000
STATE = ("tool_x", "tool_y", "tool_z", "tool_yaw", "gripper_width", "gripper_speed")


def image(light: int) -> Any:
    data = np.full(64 * 64 * 3, light, np.uint8).tobytes()
    return SimpleNamespace(encoding="rgb8", height=64, width=64, step=192, data=data)


def state(value: float) -> Any:
    return SimpleNamespace(name=list(STATE), position=[value] * 6)


@pytest.fixture
def looks() -> Looks:
    return Looks(CONTRACT, ["state", "image_scene", "state"])


def test_only_what_judges_see_is_kept(looks: Looks) -> None:
    assert list(looks.streams) == ["image_scene", "state"]
    with pytest.raises(InputError, match="depth: is no stream"):
        Looks(CONTRACT, ["depth"])


def test_the_newest_at_or_before_and_not_too_old(looks: Looks) -> None:
    for at in (0, 30, 60):
        looks.add("image_scene", image(at), at * MS, at * MS)
    chosen = looks.choose(["image_scene"], 59 * MS, 0)
    assert isinstance(chosen, dict) and chosen["image_scene"].stamp_ns == 30 * MS
    assert int(chosen["image_scene"].value[0, 0, 0]) == 30
    assert looks.choose(["image_scene"], 60 * MS + 150 * MS, 0) != "image_scene"
    assert looks.choose(["image_scene"], 60 * MS + 151 * MS, 0) == "image_scene"
    assert looks.choose(["image_scene"], 60 * MS, 61 * MS) == "image_scene"
    assert looks.choose(["image_scene", "state"], 60 * MS, 0) == "state"


@pytest.mark.parametrize(("stamp", "problem"), [(100, "in the future"), (-1000, "old on arrival")])
def test_bad_stamps_are_refused(looks: Looks, stamp: int, problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        looks.add("state", state(0.1), stamp * MS, 50 * MS)


def test_a_picture_is_not_judged_twice(looks: Looks) -> None:
    def chosen(scene: int, at: int) -> dict[str, Sample]:
        empty = np.zeros(1)
        return {"image_scene": Sample(scene, empty), "state": Sample(at, empty)}

    assert looks.newer(chosen(1, 1), {})
    assert not looks.newer(chosen(1, 9), {"image_scene": 1, "state": 1})
    assert looks.newer(chosen(2, 1), {"image_scene": 1, "state": 1})
    only_state = {"state": Sample(9, np.zeros(1))}
    assert looks.newer(only_state, {"state": 1}) and not looks.newer(only_state, {"state": 9})
