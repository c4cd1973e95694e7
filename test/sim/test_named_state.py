"""The named state carries the whole configuration to another model."""

from __future__ import annotations

import mujoco
import numpy as np
import pytest

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.robots.load import load_robot
from vla_rl_nodes.robots.model import Robot
from vla_rl_nodes.sim.model import build_model
from vla_rl_nodes.sim.named_state import StateLayout
from vla_rl_nodes.sim.scene import Scene, load_scene
from vla_rl_nodes.sim.world import World


def test_names_of_the_picking_world(world: World, fr3: Robot) -> None:
    assert fr3.gripper is not None
    cube = [f"cube_{part}" for part in ("x", "y", "z", "qw", "qx", "qy", "qz")]
    assert list(world.names) == [*fr3.joints, *fr3.gripper.joints, *cube]


def test_names_of_a_floating_base() -> None:
    model = build_model(load_robot("go2"), load_scene("floor"))
    names = StateLayout(model).names
    assert names[:7] == ("base_x", "base_y", "base_z", "base_qw", "base_qx", "base_qy", "base_qz")
    assert len(names) == model.nq == 19


def test_round_trip_in_any_order_of_names(world: World, fr3: Robot, pick: Scene) -> None:
    world.command_positions(world.joint_positions + 0.1)
    world.step(200)
    names, values = world.named_state()
    other = build_model(fr3, pick)
    data = mujoco.MjData(other)
    order = np.random.default_rng(1).permutation(len(names))
    StateLayout(other).pose(data, [names[i] for i in order], values[order])
    np.testing.assert_array_equal(data.qpos, world.data.qpos)
    tool = world.tool_pose()[0]
    np.testing.assert_allclose(data.body("fr3_hand_tcp").xpos, tool, atol=1e-12)
    assert np.abs(tool - data.body("cube").xpos).max() > 0.01


def test_world_state_is_a_copy(world: World) -> None:
    values = world.named_state()[1]
    values[:] = 7.0
    assert world.joint_positions.max() < 7.0


def test_wrong_states_are_refused(world: World) -> None:
    names, values = world.named_state()
    layout = StateLayout(world.model)
    with pytest.raises(InputError, match="another robot"):
        layout.qpos(names[:-1], values[:-1])
    with pytest.raises(InputError, match="another robot"):
        layout.qpos([*names[:-1], names[0]], values)
    with pytest.raises(InputError, match="another robot"):
        layout.qpos(["other", *names[1:]], values)
    broken = values.copy()
    broken[2] = np.nan
    with pytest.raises(InputError, match="not finite"):
        layout.qpos(names, broken)
    broken = values.copy()
    broken[list(names).index("cube_qw")] = 3.0
    with pytest.raises(InputError, match="unit length"):
        layout.qpos(names, broken)
