"""What is attacked: each robot with contracts made for it, and the files that describe it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from vla_rl_nodes.bench.safety.bounds import Bounds, read_bounds
from vla_rl_nodes.bench.safety.streams import Controller
from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.resources import resource
from vla_rl_nodes.robots.load import load_robot
from vla_rl_nodes.robots.model import Robot
from vla_rl_nodes.safety.limits import SafetyLimits, load_limits

ROBOTS = ("fr3", "panda", "ur5e", "go2")
RATES = ((20, 100), (25, 100), (50, 200))  # of the policy and the filter, Hz

STREAMS: tuple[Controller, ...] = ("positions", "velocities")  # at the first and second rates

# Per control period: metres and radians that are more than any of the robots may move in it.
TOOL_STEP, TURN_STEP = 0.05, 0.4
JOINT_SHARE = 1.5  # of what a joint covers in a control period at full speed

# What stands around the arms in some attacks.
OBSTACLE = {"name": "crate", "centre": [0.55, 0.25, 0.1], "size": [0.2, 0.2, 0.3], "yaw": 0.4}
WALL = {"name": "wall", "normal": [0.0, 1.0, 0.0], "offset": -0.3}

# A mobile base, for the one kind of action that no shipped robot takes.
MOBILE_BASE = {
    "velocity": [1.5, 0.8, 2.0],
    "acceleration": [3.0, 2.0, 5.0],
    "jerk": [150.0, 100.0, 250.0],
    "timeout_s": 0.3,
}


@dataclass(frozen=True, eq=False)
class Subject:
    """One robot, one contract, one set of limits, and the same as the judge reads it.

    ``controller`` is what the joints' commands go to, in the judge's words.
    """

    name: str
    robot: Robot
    contract: Contract
    limits: SafetyLimits
    bounds: Bounds
    controller: Controller = "trajectory"

    @property
    def dt(self) -> float:
        """The filter's period, s."""
        return 1.0 / self.contract.rates.filter_hz


def kinds(robot: Robot) -> tuple[tuple[str, bool], ...]:
    """The kinds of action that a robot takes, and whether in its tool's frame."""
    found = [("joint_position", False), ("joint_delta", False)]
    if robot.tool_frame is not None:
        found += [("tool_pose_delta", False), ("tool_pose_delta", True)]
        if robot.gripper is not None:
            found.append(("tool_delta", False))
    if robot.mobile_base is not None:
        found.append(("base_velocity", False))
    return tuple(found)


def subjects(name: str, folder: Path) -> Iterator[Subject]:
    """Every kind of action of a robot at every rate, and with streams of positions and of
    velocities instead of trajectories; ``folder`` takes the safety files."""
    robot_file = resource(f"config/robots/{name}.yaml")
    robot = load_robot(robot_file)
    for kind, in_tool in kinds(robot):
        plain = [
            _subject(robot_file, robot, name, kind, in_tool, rates, folder) for rates in RATES
        ]
        yield from plain
        for subject, controller in zip(plain, STREAMS, strict=False):
            told = f"{subject.name}_{controller}"
            yield dataclasses.replace(subject, name=told, controller=controller)


def mobile_subject(name: str, folder: Path) -> Subject:
    """The robot as a mobile base that takes velocities."""
    data = yaml.safe_load(resource(f"config/robots/{name}.yaml").read_text(encoding="utf-8"))
    data["mobile_base"] = MOBILE_BASE
    data["topics"]["twist_command"] = "cmd_vel"
    robot_file = folder / f"{name}.yaml"
    robot_file.write_text(yaml.safe_dump(data), encoding="utf-8")
    robot = load_robot(robot_file)
    return _subject(robot_file, robot, name, "base_velocity", False, RATES[0], folder)


def _subject(
    robot_file: Path,
    robot: Robot,
    name: str,
    kind: str,
    in_tool: bool,
    rates: tuple[int, int],
    folder: Path,
) -> Subject:
    contract = make_contract(robot, kind, in_tool, rates)
    data = yaml.safe_load(resource(f"config/safety/{name}.yaml").read_text(encoding="utf-8"))
    action = contract.action
    span = action.maximum - action.minimum
    data["residual_bound"] = {
        axis: round(0.15 * float(width), 6) for axis, width in zip(action.names, span, strict=True)
    }
    data["residual_schedule"] = [
        {"after": 0, "share": 0.2}, {"after": 20, "share": 0.6}, {"after": 60, "share": 1.0}
    ]  # fmt: skip
    _vary(data, robot, kind, RATES.index(rates))
    safety_file = folder / f"{contract.name}.yaml"
    safety_file.write_text(yaml.safe_dump(data), encoding="utf-8")
    limits = load_limits(safety_file)
    bounds = read_bounds(robot_file, safety_file, Path(robot.urdf))
    return Subject(contract.name, robot, contract, limits, bounds)


def _vary(data: dict[str, Any], robot: Robot, kind: str, variant: int) -> None:
    """Settings that the shipped files leave out: of the second rate and of the third."""
    wrench = data["wrench"]
    if variant == 1:
        data["deadman_timeout_s"], data["e_stop_timeout_s"] = 0.2, 0.5
        if wrench is not None and kind.startswith("tool"):
            wrench["reaction"] = "yield"
        if robot.tool_frame is not None:
            data["obstacles"] = [{**OBSTACLE, "margin": 0.02, "tool_margin": 0.01}]
    elif variant == 2:
        if wrench is not None:
            wrench["reaction"] = "retreat"
        if robot.tool_frame is not None:
            data["planes"] = [*data["planes"], {**WALL, "margin": 0.02, "tool_margin": 0.01}]


def make_contract(robot: Robot, kind: str, in_tool: bool, rates: tuple[int, int]) -> Contract:
    """A contract whose actions ask for more than the robot may do."""
    assert not in_tool or robot.tool_frame is not None
    frame = robot.tool_frame if in_tool else robot.base_frame
    where = "_in_tool" if in_tool else ""
    return Contract.model_validate(
        {
            "contract": 1,
            "name": f"{robot.name}_{kind}{where}_{rates[0]}_{rates[1]}",
            "robot": robot.name,
            "task": "an attack on the safety filter",
            "rates": {"policy_hz": rates[0], "filter_hz": rates[1]},
            "episode": {"time_limit_s": 60.0},
            "observation": [
                {
                    "key": "state",
                    "topic": "observation/state",
                    "type": "sensor_msgs/msg/JointState",
                    "max_age_s": 0.1,
                    "transforms": [{"select": [{"name": "any_value", "unit": "1"}]}],
                }
            ],
            "action": {
                "kind": kind,
                "frame": frame,
                "chunk_length": 8,
                "max_delay": 2,
                "axes": _axes(robot, kind, 1.0 / rates[0]),
            },
        }
    )


def _axes(robot: Robot, kind: str, period: float) -> list[dict[str, Any]]:
    if kind == "base_velocity":
        assert robot.mobile_base is not None
        top = 1.5 * np.array(robot.mobile_base.velocity)
        units = ("m/s", "m/s", "rad/s")
        names = ("base_vx", "base_vy", "base_wz")
        return [_axis(n, u, -t, t) for n, u, t in zip(names, units, top, strict=True)]
    if kind in ("joint_position", "joint_delta"):
        step = JOINT_SHARE * robot.velocity_max * period
        low, high = (-step, step)
        if kind == "joint_position":
            low, high = robot.position_min - 0.05, robot.position_max + 0.05
        axes = [_axis(n, "rad", a, b) for n, a, b in zip(robot.joints, low, high, strict=True)]
    else:
        names = ("tool_x", "tool_y", "tool_z")
        turns = ("tool_yaw",) if kind == "tool_delta" else ("tool_rx", "tool_ry", "tool_rz")
        axes = [_axis(n, "m", -TOOL_STEP, TOOL_STEP) for n in names]
        axes += [_axis(n, "rad", -TURN_STEP, TURN_STEP) for n in turns]
    if robot.gripper is not None:
        axes.append(_axis("gripper_width", "m", 0.0, robot.gripper.width_max))
    return axes


def _axis(name: str, unit: str, low: float, high: float) -> dict[str, Any]:
    return {"name": name, "unit": unit, "minimum": float(low), "maximum": float(high)}
