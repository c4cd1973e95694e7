"""The target that a kind of action moves."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.contract.spec import JOINT_KINDS, Action
from vla_rl_nodes.robots.kinematics import Kinematics
from vla_rl_nodes.robots.model import Robot
from vla_rl_nodes.safety.clearance import Clearance
from vla_rl_nodes.safety.limits import SafetyLimits
from vla_rl_nodes.safety.targets.base import BaseTarget
from vla_rl_nodes.safety.targets.joints import JointTarget
from vla_rl_nodes.safety.targets.target import Target
from vla_rl_nodes.safety.targets.tool import ToolTarget

Array = NDArray[np.float64]


def make_target(
    robot: Robot,
    kinematics: Kinematics,
    clearance: Clearance,
    action: Action,
    limits: SafetyLimits,
    ticks: int,
    dt: float,
    q: Array,
    width: float | None,
) -> Target:
    """A target that begins at rest at ``q``.

    Args:
        robot, kinematics, clearance: what moves, where it is, what it must keep clear of.
        action: kind and axes.
        limits: what is allowed.
        ticks: filter ticks in a control period.
        dt: the filter's period, s.
        q: where the robot is [n], rad.
        width: the gripper's opening, m; None without a gripper.

    Raises:
        InputError: a velocity of the base for a robot without a mobile base.
    """
    if action.kind == "base_velocity":
        return BaseTarget(robot, limits)
    if action.kind in JOINT_KINDS:
        return JointTarget(robot, clearance, action, limits, ticks, dt, q, width)
    return ToolTarget(robot, kinematics, clearance, action, limits, ticks, dt, q, width)
