"""Where an object belongs, and what holds it."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla_rl_nodes.episodes.reset.objects import (
    depth_of,
    held,
    like_yaws,
    misplaced,
    tilt_of,
    yaw_of,
)
from vla_rl_nodes.episodes.reset.script import ResetObject, load_script

SCRIPT = load_script("franka_pick")
CUBE = SCRIPT.objects[0]
BOTTLE = ResetObject.model_validate(CUBE.model_dump() | {"upright": "z"})


def pose(
    x: float = 0.5, y: float = 0.0, z: float = 0.02, axis: str = "z", turn: float = 0.0
) -> np.ndarray:
    half = turn / 2.0
    parts = [math.sin(half) if axis == name else 0.0 for name in "xyz"]
    return np.array([x, y, z, math.cos(half), *parts])


@pytest.mark.parametrize(
    ("where", "words"),
    [
        (pose(), ""),
        (pose(0.603), ""),
        (pose(0.61), "10 mm outside its area"),
        (pose(z=0.05), "30 mm above its place"),
        (pose(z=-0.7), "720 mm below its place"),
        (pose(axis="x", turn=0.3), "tilted by 0.30 rad"),
        (pose(axis="y", turn=math.pi / 2.0), ""),
        (pose(axis="z", turn=0.4), ""),
    ],
)
def test_what_is_misplaced_is_said(where: np.ndarray, words: str) -> None:
    said = misplaced(CUBE, where)
    assert words in said if words else said == ""


def test_a_bottle_on_its_side_is_not_upright() -> None:
    assert tilt_of(BOTTLE, pose(axis="x", turn=math.pi / 2.0)) == pytest.approx(math.pi / 2.0)
    assert tilt_of(CUBE, pose(axis="x", turn=math.pi / 2.0)) == pytest.approx(0.0, abs=1e-6)


def test_a_cube_that_is_held_askew_reaches_further_down() -> None:
    assert depth_of(CUBE, None) == depth_of(CUBE, pose(turn=0.5)) == pytest.approx(0.02)
    edge_down = pose(axis="x", turn=math.pi / 4.0)
    assert depth_of(CUBE, edge_down) == pytest.approx(0.02 * math.sqrt(2.0))


@given(st.floats(-3.0, 3.0), st.floats(-3.0, 3.0))
def test_like_yaws_look_alike_and_the_nearest_comes_first(yaw: float, near: float) -> None:
    found = like_yaws(yaw, near)
    assert len({round(math.remainder(value, 2.0 * math.pi), 6) for value in found}) == 4
    for value in found:
        assert math.remainder(value - yaw, math.pi / 2.0) == pytest.approx(0.0, abs=1e-9)
    gaps = [abs(value - near) for value in found]
    assert gaps[0] <= math.pi / 4.0 + 1e-9
    assert all(a <= b + 1e-9 for a, b in pairwise(gaps))


@given(st.floats(-0.7, 0.7))
def test_the_yaw_of_a_cube_on_any_face(turn: float) -> None:
    assert math.remainder(yaw_of(pose(turn=turn)) - turn, math.pi / 2.0) == pytest.approx(
        0.0, abs=1e-6
    )


def test_what_is_between_the_fingers_is_held() -> None:
    tool = np.array([0.5, 0.0, 0.2])
    near, far = pose(z=0.205), pose(z=0.02)
    assert held(CUBE, near, tool, 0.04, SCRIPT.pick)
    assert not held(CUBE, far, tool, 0.04, SCRIPT.pick)
    assert not held(CUBE, near, tool, 0.08, SCRIPT.pick)
    assert not held(CUBE, near, tool, 0.0, SCRIPT.pick)
    assert held(CUBE, None, tool, 0.04, SCRIPT.pick)
    assert not held(CUBE, None, tool, None, SCRIPT.pick)
