"""The world: reproducible, still when it should be, and held by its controllers."""

from __future__ import annotations

import numpy as np
import pytest

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.robots.load import load_robot
from vla_rl_nodes.robots.model import Robot
from vla_rl_nodes.sim.scene import Scene, load_scene
from vla_rl_nodes.sim.world import World

SECOND = 500  # physics steps
CUBE_WEIGHT = 0.06 * 9.81


def disturb(world: World) -> None:
    world.command_positions(world.joint_positions + np.linspace(-0.1, 0.1, 7))
    world.command_gripper(0.01)
    world.step(137)


def test_same_seed_gives_the_same_bytes_whatever_came_before(
    world: World, fr3: Robot, pick: Scene
) -> None:
    other = World(fr3, pick, seed=3)
    world.reset(7)
    first = world.data.qpos.tobytes()
    disturb(world)
    assert world.data.qpos.tobytes() != first
    world.reset(7)
    other.reset(7)
    assert world.data.qpos.tobytes() == other.data.qpos.tobytes() == first
    disturb(world)
    disturb(other)
    assert world.data.qpos.tobytes() == other.data.qpos.tobytes()


def test_seeds_differ(world: World) -> None:
    world.reset(1)
    one = world.data.qpos.copy()
    world.reset(2)
    assert np.abs(world.data.qpos - one).max() > 1e-3


def test_last_position_command_is_held_for_ever(world: World) -> None:
    target = world.joint_positions + np.array([0.2, 0.0, 0.0, 0.0, 0.0, 0.0, -0.3])
    world.command_positions(target)
    world.step(2 * SECOND)
    held = world.joint_positions
    np.testing.assert_allclose(held, target, atol=2e-3)
    world.step(10 * SECOND)
    np.testing.assert_allclose(world.joint_positions, held, atol=1e-5)


def test_trajectory_is_followed_and_its_end_held(world: World) -> None:
    start = world.joint_positions
    middle = start + np.array([0.1, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0])
    end = middle + np.array([0.0, 0.05, 0.0, 0.0, 0.0, 0.0, 0.1])
    world.command_trajectory(np.array([0.5, 1.0]), np.array([middle, end]))
    world.step(SECOND // 4)
    np.testing.assert_allclose(world.commanded_positions, 0.5 * start + 0.5 * middle, atol=1e-12)
    world.step(SECOND // 2)
    np.testing.assert_allclose(world.commanded_positions, 0.5 * middle + 0.5 * end, atol=1e-12)
    world.step(5 * SECOND)
    np.testing.assert_allclose(world.commanded_positions, end)
    np.testing.assert_allclose(world.joint_positions, end, atol=2e-3)


def test_reset_ends_every_command(world: World) -> None:
    world.command_trajectory(np.array([3.0]), world.joint_positions[None] + 0.3)
    world.command_gripper(0.0)
    world.step(SECOND)
    world.reset(5)
    start, width = world.joint_positions, world.gripper_width
    world.step(4 * SECOND)
    np.testing.assert_allclose(world.joint_positions, start, atol=2e-3)
    assert world.gripper_width == pytest.approx(width, abs=5e-4)


def test_home_does_not_sag(fr3: Robot, world: World) -> None:
    world.command_positions(fr3.home)
    world.step(4 * SECOND)
    np.testing.assert_allclose(world.joint_positions, fr3.home, atol=0.01)
    assert np.abs(world.joint_velocities).max() < 1e-3
    assert np.abs(world.joint_efforts).max() > 10.0  # the weight is carried, not switched off


def test_panda_stands_still_at_home() -> None:
    world = World(load_robot("panda"), load_scene("table"), seed=4)
    world.command_positions(world.robot.home)
    world.step(4 * SECOND)
    np.testing.assert_allclose(world.joint_positions, world.robot.home, atol=0.01)
    assert np.abs(world.joint_velocities).max() < 1e-3
    assert np.abs(world.joint_efforts).max() > 10.0
    world.command_gripper(0.02)
    world.step(2 * SECOND)
    assert world.gripper_width == pytest.approx(0.02, abs=1e-3)


def test_ur5e_holds_its_pose() -> None:
    world = World(load_robot("ur5e"), load_scene("table"), seed=4)
    start = world.joint_positions
    assert np.abs(start - world.robot.home).max() > 1e-4
    world.step(5 * SECOND)
    np.testing.assert_allclose(world.joint_positions, start, atol=0.01)
    with pytest.raises(InputError, match="no gripper"):
        world.command_gripper(0.0)


def test_go2_stands() -> None:
    world = World(load_robot("go2"), load_scene("floor"), seed=4)
    names = list(world.names)
    height, upright = names.index("base_z"), names.index("base_qw")
    before = world.named_state()[1]
    assert before[height] == pytest.approx(0.31, abs=0.03)
    world.step(SECOND)
    settled = world.named_state()[1]
    world.step(5 * SECOND)
    after = world.named_state()[1]
    assert abs(after[height] - before[height]) < 0.03
    assert abs(after[height] - settled[height]) < 0.005
    assert abs(after[upright]) > np.cos(np.deg2rad(3.0) / 2.0)
    assert np.abs(world.joint_velocities).max() < 0.02
    np.testing.assert_allclose(world.joint_positions, world.robot.home, atol=0.15)
    weight = world.external_wrench()[2]
    assert weight == pytest.approx(9.81 * world.model.body_mass.sum(), rel=0.02)


def test_gripper_moves_symmetrically_at_the_hands_speed(world: World) -> None:
    world.command_gripper(0.0)
    world.step(SECOND // 5)
    begin, time = world.gripper_width, world.time_s
    world.step(SECOND // 5)
    speed = (world.gripper_width - begin) / (world.time_s - time)
    assert -0.11 < speed < -0.09
    assert world.gripper_speed == pytest.approx(speed, rel=0.05)
    left, right = world.finger_positions
    assert left == pytest.approx(right, abs=1e-4)
    world.step(SECOND)
    assert world.gripper_width < 1e-3
    world.command_gripper(0.08)
    world.step(SECOND)
    assert world.gripper_width == pytest.approx(0.08, abs=1e-3)


def hold_cube(world: World) -> None:
    """Puts the cube between the fingers, in the air, and closes."""
    position, rotation = world.tool_pose()
    yaw = float(np.arctan2(rotation[1, 0], rotation[0, 0]))
    world.command_gripper(0.0)
    for _ in range(SECOND):
        if world.gripper_width > 0.0405:
            world.place_object("cube", position, yaw)
        world.step()


def test_held_cube_stops_the_fingers_and_weighs_on_the_wrench(world: World) -> None:
    np.testing.assert_allclose(world.external_wrench(), 0.0, atol=1e-9)
    hold_cube(world)
    assert world.gripper_width == pytest.approx(0.04, abs=5e-4)
    before = world.object_pose("cube")[0]
    world.step(2 * SECOND)
    np.testing.assert_allclose(world.object_pose("cube")[0], before, atol=1e-3)
    wrench = world.external_wrench()
    np.testing.assert_allclose(wrench[:3], [0.0, 0.0, -CUBE_WEIGHT], atol=0.03)
    world.command_gripper(0.08)
    world.step(SECOND)
    assert world.object_pose("cube")[0][2] < 0.03


def test_restore_goes_on_to_the_last_bit(world: World) -> None:
    hold_cube(world)
    ahead, still = world.joint_positions[None] + 0.05, np.zeros((1, 7))
    world.command_trajectory(np.array([1.0]), ahead, still, still)
    world.step(50)
    saved = world.save()
    runs = []
    for _ in range(2):
        world.step(300)
        runs.append((world.data.qpos.tobytes(), world.data.qvel.tobytes(), world.time_s))
        disturb(world)
        world.restore(saved)
    assert runs[0] == runs[1]
    assert world.time_s == pytest.approx(runs[0][2] - 0.6)


def test_restore_brings_back_what_can_be_read_without_a_step(world: World) -> None:
    position, wrench = world.tool_pose()[0], world.external_wrench()
    saved = world.save()
    disturb(world)
    assert np.abs(world.tool_pose()[0] - position).max() > 1e-3
    world.restore(saved)
    np.testing.assert_array_equal(world.tool_pose()[0], position)
    np.testing.assert_array_equal(world.external_wrench(), wrench)


def test_diverged_physics_is_told(world: World) -> None:
    world.data.qvel[0] = 1e12
    with pytest.raises(InputError, match="diverged"):
        world.step(5)
    world.reset(0)
    world.step(5)


@pytest.mark.parametrize("seed", [-1])
def test_bad_seed_leaves_the_world_as_it_was(world: World, seed: int) -> None:
    disturb(world)
    before = world.data.qpos.tobytes()
    with pytest.raises(InputError, match="seed"):
        world.reset(seed)
    assert world.data.qpos.tobytes() == before


def test_unknown_names_are_refused(world: World) -> None:
    with pytest.raises(InputError, match="use cube"):
        world.object_pose("ball")
    with pytest.raises(InputError, match="no object 'fr3_joint1'"):
        world.place_object("fr3_joint1", np.zeros(3), 0.0)
    go2 = World(load_robot("go2"), load_scene("floor"))
    with pytest.raises(InputError, match="no tool frame"):
        go2.tool_pose()


def test_a_named_state_is_put_back_exactly_and_at_rest(world: World) -> None:
    world.reset(7)
    disturb(world)
    names, values = world.named_state()
    world.step(200)
    world.put(tuple(reversed(names)), values[::-1])
    assert world.named_state()[1].tobytes() == values.tobytes()
    assert world.time_s == 0.0 and not world.data.qvel.any()
    assert world.commanded_positions.tolist() == world.joint_positions.tolist()
    world.step(SECOND)
    # Its controllers hold what was put there; only the cube may settle.
    arm = [names.index(name) for name in world.robot.joints]
    assert np.abs(world.named_state()[1][arm] - values[arm]).max() < 2e-3


def test_a_bad_named_state_leaves_the_world_as_it_was(world: World) -> None:
    world.reset(7)
    names, values = world.named_state()
    broken = values.copy()
    broken[0] = np.nan
    for bad_names, bad in ((names, broken), (names[:-1], values[:-1]), (names, values[:-1])):
        with pytest.raises(InputError, match="sim state"):
            world.put(bad_names, bad)
        assert world.named_state()[1].tobytes() == values.tobytes()
