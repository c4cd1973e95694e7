"""The Franka with its distances and a motion, for the tests of the filter's second layer."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from vla_rl_nodes.robots.kinematics import Kinematics
from vla_rl_nodes.robots.load import load_robot
from vla_rl_nodes.robots.model import Robot
from vla_rl_nodes.safety.admissible import Admissible
from vla_rl_nodes.safety.clearance import Clearance
from vla_rl_nodes.safety.limits import SafetyLimits, load_limits
from vla_rl_nodes.safety.motion import Motion
from vla_rl_nodes.safety.smoothing import Knot
from vla_rl_nodes.safety.stop import Stopping

DT = 0.01


@lru_cache
def robot(name: str = "fr3") -> Robot:
    return load_robot(name)


@lru_cache
def limits(name: str = "franka_pick") -> SafetyLimits:
    return load_limits(name)


@lru_cache
def kinematics(name: str = "fr3") -> Kinematics:
    return Kinematics(robot(name))


def clearance(of: SafetyLimits | None = None) -> Clearance:
    return Clearance(robot(), limits() if of is None else of)


def motion(q: np.ndarray | None = None, of: SafetyLimits | None = None) -> Motion:
    allowed = limits() if of is None else of
    start = robot().home.copy() if q is None else q
    return Motion(robot(), kinematics(), clearance(allowed), allowed, DT, start, 0.08)


def stopping(of: SafetyLimits | None = None) -> Stopping:
    allowed = limits() if of is None else of
    return Stopping(
        robot().acceleration_max * allowed.acceleration_scale,
        robot().jerk_max * allowed.jerk_scale,
        DT,
    )


def admissible(q: np.ndarray, of: SafetyLimits | None = None) -> Admissible:
    """Checks of motions that begin at ``q``."""
    allowed = limits() if of is None else of
    near = clearance(allowed)
    near.restart(q)
    return Admissible(robot(), kinematics(), near, allowed, stopping(allowed))


def still(q: np.ndarray) -> Knot:
    return Knot(q, np.zeros(len(q)), np.zeros(len(q)))


def tool_at(x: float, y: float, z: float) -> np.ndarray:
    """Joint positions with the tool there, pointing down."""
    down = np.diag([1.0, -1.0, -1.0])
    found = kinematics().solve(robot().home, np.array([x, y, z]), down, iterations=200)
    assert found.converged
    return found.q


def along(q: np.ndarray, tool_velocity: list[float]) -> np.ndarray:
    """Joint velocity that moves the tool so, without turning it."""
    jacobian = kinematics().jacobian(q)
    wanted = np.concatenate([tool_velocity, np.zeros(3)])
    return np.asarray(np.linalg.lstsq(jacobian, wanted, rcond=None)[0])
