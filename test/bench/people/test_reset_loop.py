"""Resets in physics behind the real filter: what is moved, and that nothing goes past it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from vla_rl_nodes.bench.people.reset_loop import LivingWorld
from vla_rl_nodes.bench.people.reset_starts import KINDS, Starts
from vla_rl_nodes.bench.people.resets import run_resets
from vla_rl_nodes.bench.people.unattended import run_unattended
from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.episodes.reset.settings import Mode, ResetSettings
from vla_rl_nodes.robots.load import load_robot
from vla_rl_nodes.safety.limits import load_limits
from vla_rl_nodes.sim.rollout import Rollout

TASK = "franka_pick"


@pytest.fixture(scope="module")
def rollout() -> Iterator[Rollout]:
    with Rollout(load_contract(TASK), cameras=False) as rollout:
        yield rollout


@pytest.fixture
def world(rollout: Rollout) -> LivingWorld:
    return LivingWorld(rollout, 3, ResetSettings(), TASK)


def with_cube_at(world: LivingWorld, x: float, y: float, z: float) -> None:
    state = dict(zip(world.world.names, world.world.named_state()[1].tolist(), strict=True))
    tipped = {"qw": 0.8, "qx": 0.6, "qy": 0.0, "qz": 0.0}
    where = {"x": x, "y": y, "z": z, **tipped}
    world.put(state | {f"cube_{part}": value for part, value in where.items()})
    world.let_time_pass(0.5)


def test_a_cube_that_fell_outside_is_put_back_through_the_filter(world: LivingWorld) -> None:
    with_cube_at(world, 0.6, -0.2, 0.06)
    run = world.reset(Mode.START, 4)
    assert run.done, run.progress
    position, _ = world.world.object_pose("cube")
    assert np.abs(position[:2] - [0.5, 0.0]).max() < 0.105
    assert abs(position[2] - 0.02) < 0.003
    assert world.ledger.commands > 300
    assert (world.ledger.bypasses, world.ledger.leaps) == (0, 0)


def test_what_lies_behind_the_table_is_left_to_a_person(world: LivingWorld) -> None:
    with_cube_at(world, 1.2, 0.0, -0.7)
    run = world.reset(Mode.START, 4)
    assert not run.done
    assert "below what it belongs on" in run.progress.reason


def test_a_command_past_the_filter_is_counted(world: LivingWorld) -> None:
    world.reset(Mode.START, 4)
    before = world.ledger.commands
    q = world.world.joint_positions
    world.world.command_positions(q)
    world.world.command_trajectory(np.array([0.1, 0.2]), np.stack([q, q + 0.01]))
    world.world.command_gripper(0.033)
    assert (world.ledger.commands, world.ledger.bypasses) == (before + 3, 3)
    world.world.place_object("cube", np.array([0.5, 0.0, 0.02]), 0.0)
    assert world.ledger.leaps == 1


def test_two_episodes_follow_each_other_without_a_person() -> None:
    result = run_unattended(2, 40, "expert")
    assert (result.episodes, result.unattended, result.asked) == (2, 2, 0)
    assert result.successes == 2
    assert result.put_back == 1  # the second reset puts down what the first episode lifted
    assert (result.bypasses, result.leaps) == (0, 0)
    assert result.commands > 1000


def test_every_kind_of_start_is_drawn_and_is_what_it_says() -> None:
    robot = load_robot("fr3")
    starts = Starts(robot, load_limits(TASK), TASK)
    assert sum(kind.starts for kind in KINDS.values()) == 200
    for kind in KINDS:
        start = starts.draw(kind, 5)
        same = starts.draw(kind, 5)
        assert np.array_equal(start.joints, same.joints)
        assert np.array_equal(start.cube, same.cube)
        room = np.minimum(start.joints - robot.position_min, robot.position_max - start.joints)
        assert bool(start.obstacles) == kind.startswith("obstacle")
        assert start.closes == (kind == "held")
        assert (room > 0.0).all()
        if kind == "near_limits":
            assert room.min() < 0.1


@pytest.mark.nightly
def test_resets_from_one_start_of_each_kind() -> None:
    result = run_resets(1, 0.01)
    assert result.starts == len(KINDS)
    assert result.success == 1.0 and result.false == 0
    assert result.bypasses == 0 and result.asked_without_reason == 0
