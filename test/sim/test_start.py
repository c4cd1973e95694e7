"""Starts: reproducible, within their ranges, and in reach."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.robots.kinematics import Kinematics
from vla_rl_nodes.robots.load import load_robot
from vla_rl_nodes.robots.model import Robot
from vla_rl_nodes.robots.tool_frame import tilt_from_rotation, yaw_from_rotation
from vla_rl_nodes.sim.scene import Scene, load_scene
from vla_rl_nodes.sim.start import draw_start

ROBOT, SCENE = load_robot("fr3"), load_scene("franka_pick")
KINEMATICS = Kinematics(ROBOT)


@given(st.integers(0, 2**31 - 1))
def test_every_seed_starts_within_the_scenes_ranges(seed: int) -> None:
    start = draw_start(ROBOT, SCENE, KINEMATICS, seed)
    tool, cube = SCENE.tool_start, SCENE.objects[0]
    assert tool is not None
    pose = KINEMATICS.fk(start.joints)
    offset = np.abs(pose.position - np.array(tool.position_m))
    assert (offset <= np.array(tool.half_range_m) + 1e-5).all()
    assert abs(yaw_from_rotation(pose.rotation)) <= tool.yaw_half_range_rad + 1e-5
    assert tilt_from_rotation(pose.rotation) < 1e-5
    x, y, z, qw, qx, qy, qz = start.objects["cube"]
    away = np.abs(np.array([x, y]) - np.array(cube.spawn.centre_m))
    assert (away <= np.array(cube.spawn.half_range_m)).all()
    assert z == SCENE.support_m + cube.edge_m / 2.0
    assert abs(2.0 * np.arctan2(qz, qw)) <= cube.spawn.yaw_rad + 1e-12 and qx == qy == 0.0


def test_seeds_differ_and_fill_the_range() -> None:
    cubes = np.array([draw_start(ROBOT, SCENE, KINEMATICS, s).objects["cube"] for s in range(200)])
    assert len(np.unique(cubes[:, 0])) == 200
    assert (np.ptp(cubes[:, :2], axis=0) > 0.19).all()
    assert np.ptp(2.0 * np.arctan2(cubes[:, 6], cubes[:, 3])) > 1.45


def test_negative_seed_is_refused() -> None:
    with pytest.raises(InputError, match="seed: is -1"):
        draw_start(ROBOT, SCENE, KINEMATICS, -1)


def test_tool_start_out_of_reach_is_refused(fr3: Robot, pick: Scene) -> None:
    assert pick.tool_start is not None
    far = pick.tool_start.model_copy(update={"position_m": [2.0, 0.0, 0.3]})
    with pytest.raises(InputError, match="out of reach"):
        draw_start(fr3, pick.model_copy(update={"tool_start": far}), KINEMATICS, 0)
