"""Robots, limits and actions for the tests of targets."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.contract.spec import Action
from vla_rl_nodes.robots.kinematics import Kinematics
from vla_rl_nodes.robots.load import load_robot
from vla_rl_nodes.robots.model import Robot
from vla_rl_nodes.safety.clearance import Clearance
from vla_rl_nodes.safety.limits import SafetyLimits, load_limits
from vla_rl_nodes.safety.targets.make import make_target
from vla_rl_nodes.safety.targets.target import Target

Array = NDArray[np.float64]

DT, TICKS = 0.01, 5  # 100 Hz under 20 Hz
PERIOD = DT * TICKS
WIDTH = 0.05  # m, of an opening

STEP, TURN, JOINT_STEP = 0.02, 0.15, 0.1  # the actions' bounds per control period, m and rad

CRATE = {
    "name": "crate", "centre": [0.5, 0.2, 0.1], "size": [0.15, 0.15, 0.3], "yaw": 0.4,
    "margin": 0.02, "tool_margin": 0.01,
}  # fmt: skip
MOBILE_BASE = {
    "velocity": [1.5, 0.8, 2.0], "acceleration": [3.0, 2.0, 5.0], "jerk": [150.0, 100.0, 250.0],
    "timeout_s": 0.3,
}  # fmt: skip


def changed(model: Any, **keys: Any) -> Any:
    """A copy with other values, checked."""
    return type(model).model_validate({**model.model_dump(), **keys})


@lru_cache
def robot(name: str) -> Robot:
    """A shipped robot; ``fr3_plain`` has no position-dependent velocity limits, ``ur5e_narrow``
    has ranges that it meets before it meets itself, ``ur5e_mobile`` drives."""
    if name == "fr3_plain":
        shipped = load_robot("fr3")
        axes = [{**axis.model_dump(), "velocity_margin": None} for axis in shipped.axes]
        return Robot.model_validate({**shipped.model_dump(), "axes": axes})
    if name == "ur5e_narrow":
        shipped = load_robot("ur5e")
        axes = [
            {**axis.model_dump(), "position": [axis.home - 0.6, axis.home + 0.5]}
            for axis in shipped.axes
        ]
        return Robot.model_validate({**shipped.model_dump(), "axes": axes})
    if name == "ur5e_mobile":
        shipped = load_robot("ur5e")
        topics = {**shipped.topics.model_dump(), "twist_command": "cmd_vel"}
        data = {**shipped.model_dump(), "mobile_base": MOBILE_BASE, "topics": topics}
        return Robot.model_validate(data)
    return load_robot(name)


@lru_cache
def kinematics(name: str) -> Kinematics:
    return Kinematics(robot(name))


@lru_cache
def limits(name: str) -> SafetyLimits:
    return load_limits(name)


def make_action(of: Robot, kind: str, in_tool: bool = False) -> Action:
    """An action of a kind with bounds as a policy of 20 Hz has them."""
    frame = of.tool_frame if in_tool else of.base_frame
    axes: list[dict[str, Any]] = []
    if kind.startswith("tool"):
        turns = ("tool_yaw",) if kind == "tool_delta" else ("tool_rx", "tool_ry", "tool_rz")
        axes += [_axis(name, "m", -STEP, STEP) for name in ("tool_x", "tool_y", "tool_z")]
        axes += [_axis(name, "rad", -TURN, TURN) for name in turns]
    elif kind == "base_velocity":
        units = {"base_vx": "m/s", "base_vy": "m/s", "base_wz": "rad/s"}
        return _action(kind, frame, [_axis(n, unit, -3.0, 3.0) for n, unit in units.items()])
    elif kind == "joint_delta":
        axes += [_axis(name, "rad", -JOINT_STEP, JOINT_STEP) for name in of.joints]
    else:
        low, high = of.position_min - 0.1, of.position_max + 0.1
        axes += [
            _axis(n, "rad", float(a), float(b))
            for n, a, b in zip(of.joints, low, high, strict=True)
        ]
    if of.gripper is not None:
        axes.append(_axis("gripper_width", "m", 0.0, of.gripper.width_max))
    return _action(kind, frame, axes)


def _action(kind: str, frame: str | None, axes: list[dict[str, Any]]) -> Action:
    data = {"kind": kind, "frame": frame, "chunk_length": 8, "max_delay": 2, "axes": axes}
    return Action.model_validate(data)


def _axis(name: str, unit: str, low: float, high: float) -> dict[str, Any]:
    return {"name": name, "unit": unit, "minimum": low, "maximum": high}


@dataclass
class Scene:
    """A robot, what it may do, and a kind of action."""

    name: str
    kind: str
    limits: SafetyLimits
    in_tool: bool = False

    def __post_init__(self) -> None:
        self.robot, self.kinematics = robot(self.name), kinematics(self.name)
        self.action = make_action(self.robot, self.kind, self.in_tool)
        self.clearance = Clearance(self.robot, self.limits)
        self.width = WIDTH if self.robot.gripper is not None else None

    def target(self, q: Array | None = None) -> Target:
        """A new target at rest."""
        start = self.robot.home.copy() if q is None else q.copy()
        return make_target(
            self.robot, self.kinematics, self.clearance, self.action, self.limits, TICKS, DT,
            start, self.width,
        )  # fmt: skip

    def full(self, moved: Array | list[float]) -> Array:
        """An action with the gripper where it is."""
        width = [] if self.width is None else [self.width]
        return np.concatenate([moved, width])

    def down_at(self, x: float, y: float, z: float, yaw: float = 0.0) -> Array:
        """Joint positions with the tool there, pointing down."""
        c, s = np.cos(yaw), np.sin(yaw)
        down = np.array([[c, s, 0.0], [s, -c, 0.0], [0.0, 0.0, -1.0]])
        found = self.kinematics.solve(
            self.robot.home, np.array([x, y, z]), down, iterations=200, tolerance=1e-9
        )
        assert found.converged
        return found.q


def settle(target: Target) -> Array:
    """One control period without an action; the reference [n] at its end."""
    for _ in range(TICKS):
        reference = target.advance()
    return reference.copy()
