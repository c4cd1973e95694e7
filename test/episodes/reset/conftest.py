"""The Franka's kit, and a robot that follows what it is told at once."""

from __future__ import annotations

import pytest

from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.episodes.reset.kit import Kit, at_once, make_kit
from vla_rl_nodes.episodes.reset.script import load_script
from vla_rl_nodes.episodes.reset.settings import ResetSettings
from vla_rl_nodes.robots.load import load_robot
from vla_rl_nodes.safety.limits import load_limits

from .fake_robot import FakeRobot


@pytest.fixture(scope="session")
def kit() -> Kit:
    """Of the shipped task."""
    contract = load_contract("franka_pick")
    robot, limits = load_robot(contract.robot), load_limits(contract.name)
    return make_kit(robot, contract, limits, load_script("franka_pick"), ResetSettings(), at_once)


@pytest.fixture
def fake(kit: Kit) -> FakeRobot:
    """At home, its cube in the middle of its area."""
    return FakeRobot(kit)
