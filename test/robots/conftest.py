"""The shipped robots, loaded once."""

from __future__ import annotations

import pytest

from vla_rl_nodes.robots.kinematics import Kinematics
from vla_rl_nodes.robots.load import load_robot
from vla_rl_nodes.robots.model import Robot


@pytest.fixture(scope="session")
def robots() -> dict[str, tuple[Robot, Kinematics]]:
    loaded = {name: load_robot(name) for name in ("fr3", "panda", "ur5e", "go2")}
    return {name: (robot, Kinematics(robot)) for name, robot in loaded.items()}
