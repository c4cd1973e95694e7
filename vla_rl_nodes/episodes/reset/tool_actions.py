"""A straight motion of the tool in a contract's own action axes, whatever kind they are."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.robots.kinematics import Kinematics
from vla_rl_nodes.robots.model import Robot

Array = NDArray[np.float64]

DAMPING = 1e-4  # of the inverse, m^2: keeps a step finite next to a singularity
SPEED_UP_S = 0.25  # s in which a straight motion reaches its speed, and comes to rest


class ToolActions:
    """Turns displacements of the tool along the base's axes into actions [axes].

    Args:
        robot: its joints and frames.
        kinematics: of that robot.
        contract: kind and bounds of actions.
        q: joint positions that joint actions count from [n], rad.

    Raises:
        InputError: the contract's actions move no tool.
    """

    def __init__(self, robot: Robot, kinematics: Kinematics, contract: Contract, q: Array) -> None:
        self._action, self._kinematics = contract.action, kinematics
        self._q = q.copy()
        self._by_tool = contract.action.frame == robot.tool_frame
        if contract.action.kind in ("base_velocity", "plane_delta") or robot.tool_frame is None:
            place = f"contract {contract.name}"
            raise InputError(place, "its actions move no tool", "ask a person for the reset")

    @property
    def outward(self) -> Array:
        """[3] of length 1 in the base frame: back along the tool, away from what it points at."""
        return -self._kinematics.fk(self._q).rotation[:, 2]

    def action(self, displacement: Array, width: float | None) -> Array:
        """The action [axes] that moves the tool by ``displacement`` [3], m, within the bounds.

        Args:
            displacement: along the base's axes.
            width: the gripper's opening, m; ignored where it is no axis.
        """
        kind, bounds = self._action.kind, self._action
        if kind in ("tool_delta", "tool_pose_delta"):
            rotation = self._kinematics.fk(self._q).rotation
            moved = rotation.T @ displacement if self._by_tool else displacement
            turns = 1 if kind == "tool_delta" else 3
            values = np.concatenate([moved, np.zeros(turns)])
        else:
            jacobian = self._kinematics.jacobian(self._q)
            wanted = np.concatenate([displacement, np.zeros(3)])
            gram = jacobian @ jacobian.T + DAMPING * np.eye(6)
            step = jacobian.T @ np.linalg.solve(gram, wanted)
            self._q = self._q + step
            values = self._q.copy() if kind == "joint_position" else step
        if self._action.has_gripper:
            values = np.append(values, 0.0 if width is None else width)
        inside: Array = np.clip(values, bounds.minimum, bounds.maximum)
        return inside


def shares(distance: float, speed: float, period_s: float) -> Array:
    """How far to go in each control period [m], m; up to speed and to rest in a smooth way."""
    if distance <= 0.0:
        return np.zeros(0)
    seconds = distance / speed + SPEED_UP_S
    count = max(int(np.ceil(seconds / period_s)), 2)
    rise = max(SPEED_UP_S / seconds, 1e-6)
    at = (np.arange(count) + 0.5) / count
    # A raised cosine at both ends, level between them.
    edge = np.minimum(np.minimum(at, 1.0 - at) / rise, 1.0)
    profile = 0.5 - 0.5 * np.cos(np.pi * edge)
    return np.array(profile * (distance / profile.sum()))
