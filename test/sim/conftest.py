"""Robots, scenes and closed loops that are slow to build, shared by the tests of sim/."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.robots.load import load_robot
from vla_rl_nodes.robots.model import Robot
from vla_rl_nodes.sim.cameras import CameraRenderer
from vla_rl_nodes.sim.rollout import Rollout
from vla_rl_nodes.sim.scene import Scene, load_scene
from vla_rl_nodes.sim.world import World


@pytest.fixture(scope="session")
def contract() -> Contract:
    return load_contract("franka_pick")


@pytest.fixture(scope="session")
def fr3() -> Robot:
    return load_robot("fr3")


@pytest.fixture(scope="session")
def pick() -> Scene:
    return load_scene("franka_pick")


@pytest.fixture(scope="session")
def _world(fr3: Robot, pick: Scene) -> World:
    return World(fr3, pick)


@pytest.fixture
def world(_world: World) -> World:
    """The picking world, reset with seed 0."""
    _world.reset(0)
    return _world


@pytest.fixture(scope="session")
def _renderer(fr3: Robot, pick: Scene) -> Iterator[CameraRenderer]:
    with CameraRenderer(fr3, pick) as renderer:
        yield renderer


@pytest.fixture
def renderer(_renderer: CameraRenderer) -> CameraRenderer:
    """The picking scene's cameras, lens caps off."""
    _renderer.blackout = False
    return _renderer


@pytest.fixture(scope="session")
def blind_rollout(contract: Contract) -> Iterator[Rollout]:
    """A closed loop whose images are black, for the expert, which does not look."""
    with Rollout(contract, cameras=False) as rollout:
        yield rollout


@pytest.fixture(scope="session")
def rollout(contract: Contract) -> Iterator[Rollout]:
    with Rollout(contract) as rollout:
        yield rollout
