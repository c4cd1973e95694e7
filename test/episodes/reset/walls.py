"""A Franka with and without a wall in front of it, for the tests of planning."""

from __future__ import annotations

import numpy as np

from vla_rl_nodes.episodes.reset.check import WayCheck
from vla_rl_nodes.episodes.reset.planner import RoomPlanner
from vla_rl_nodes.episodes.reset.timing import Timing
from vla_rl_nodes.robots.kinematics import Kinematics
from vla_rl_nodes.robots.load import load_robot
from vla_rl_nodes.robots.tool_frame import rotation_from_yaw
from vla_rl_nodes.safety.limits import Obstacle, SafetyLimits, load_limits

FR3, LIMITS = load_robot("fr3"), load_limits("franka_pick")
KINEMATICS = Kinematics(FR3)
WALL = Obstacle(
    name="wall", centre=[0.5, 0.0, 0.15], size=[0.30, 0.05, 0.30], margin=0.02, tool_margin=0.01
)
WALLED = LIMITS.model_copy(update={"obstacles": [WALL]})


def at(x: float, y: float, z: float, yaw: float = 0.0) -> np.ndarray:
    """Joints with the tool there, pointing down."""
    found = KINEMATICS.solve(FR3.home, np.array([x, y, z]), rotation_from_yaw(yaw))
    assert found.converged
    return found.q


TIMED = Timing(FR3, KINEMATICS, LIMITS, 0.3, 0.05).positions
LEFT, RIGHT = at(0.5, 0.25, 0.15), at(0.5, -0.25, 0.15)


def planner(limits: SafetyLimits) -> tuple[RoomPlanner, WayCheck]:
    """The room's planner and its check among these limits."""
    check = WayCheck(FR3, KINEMATICS, limits)
    return RoomPlanner(FR3, KINEMATICS, limits, check, 0.12, 5.0), check
