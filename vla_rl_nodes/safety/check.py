"""Checks, before anything moves, that robot, contract and safety limits fit together."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.contract.spec import JOINT_KINDS, Action, Contract
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.robots.model import Robot
from vla_rl_nodes.safety.limits import SafetyLimits

Array = NDArray[np.float64]

TOOL_KINDS = ("tool_delta", "tool_pose_delta")
REVERSAL_TICKS_MAX = 50  # of acceleration, from one limit to the other


def check_settings(robot: Robot, contract: Contract, limits: SafetyLimits) -> None:
    """Passes silently when the filter can run with these three.

    Raises:
        InputError: they name different robots, frames, joints or axes; the robot lacks what the
            actions or the limits are about; the timeouts are too short for the contract's
            rates; or its jerk limits are too low for its acceleration limits.
    """
    for what, name in (("safety limits", limits.robot), ("contract", contract.robot)):
        if name != robot.name:
            raise InputError(what, f"is for {name}, the robot is {robot.name}", "choose another")
    _check_action(robot, contract.action)
    _check_parts(robot, contract.action, f"safety limits {limits.name}", limits)
    _check_times(contract, f"safety limits {limits.name}", limits)
    _check_jerk(robot, contract, f"safety limits {limits.name}", limits)


def _check_action(robot: Robot, action: Action) -> None:
    if action.kind == "plane_delta":
        raise InputError(
            "contract: action.kind",
            "is plane_delta, which no robot takes",
            "choose a robot's contract",
        )
    if action.kind in TOOL_KINDS and robot.tool_frame is None:
        raise InputError(robot.name, "has no tool frame", "choose an arm, or actions of joints")
    if action.kind == "base_velocity" and robot.mobile_base is None:
        raise InputError(robot.name, "has no mobile base", "choose a robot that has one")
    frames = [robot.base_frame]
    if action.kind == "tool_pose_delta" and robot.tool_frame is not None:
        frames.append(robot.tool_frame)
    if action.frame not in frames:
        raise InputError(
            "contract: action.frame",
            f"is {action.frame}, {action.kind} is in {' or '.join(frames)}",
            "write actions in that frame",
        )
    joints = action.names[:-1] if action.has_gripper else action.names
    if action.kind in JOINT_KINDS and joints != robot.joints:
        raise InputError(
            "contract: action.axes",
            f"are the joints {', '.join(joints)}",
            f"give {', '.join(robot.joints)}, in this order",
        )
    if action.has_gripper:
        if robot.gripper is None:
            raise InputError(
                "contract: action.axes",
                f"hold gripper_width, {robot.name} has no gripper",
                "leave it out",
            )
        if action.minimum[-1] > robot.gripper.width_max or action.maximum[-1] < 0.0:
            raise InputError(
                "contract: action.axes",
                f"gripper_width is never within 0..{robot.gripper.width_max:g} m",
                "correct its bounds",
            )


def _check_parts(robot: Robot, action: Action, place: str, limits: SafetyLimits) -> None:
    if set(limits.residual_bound) != set(action.names):
        raise InputError(
            f"{place}: residual_bound",
            f"is for {', '.join(limits.residual_bound) or 'no axis'}",
            f"give {', '.join(action.names)}",
        )
    if robot.tool_frame is not None and limits.workspace is None:
        raise InputError(
            f"{place}: workspace", f"is null, {robot.name} has a tool", "give the tool's box"
        )
    of_tool = {
        "workspace": limits.workspace,
        "tool_speed_max": limits.tool_speed_max,
        "singularity": limits.singularity,
        "arming_tilt_max": limits.arming_tilt_max,
    }
    for key, value in of_tool.items():
        if robot.tool_frame is None and value is not None:
            raise InputError(
                f"{place}: {key}", f"{robot.name} has no tool frame", "set it to null"
            )
    if action.kind == "tool_delta" and limits.arming_tilt_max is None:
        raise InputError(
            f"{place}: arming_tilt_max",
            "is null, tool_delta levels the tool at its first motion",
            "give the greatest tilt, rad, to be armed with",
        )
    if limits.body is not None and not robot.feet:
        raise InputError(f"{place}: body", f"{robot.name} has no feet", "set it to null")
    sensors = {"wrench": (limits.wrench, robot.topics.wrench),
               "body": (limits.body, robot.topics.imu)}  # fmt: skip
    for key, (rule, topic) in sensors.items():
        if rule is not None and topic is None:
            raise InputError(
                f"{place}: {key}",
                f"{robot.name} has no topic that measures it",
                "set it to null, or name the topic in the robot's description",
            )
    rule = limits.wrench
    if rule is not None and rule.reaction == "yield" and action.kind not in TOOL_KINDS:
        raise InputError(
            f"{place}: wrench.reaction",
            f"is yield, which actions of kind {action.kind} cannot",
            "give freeze or retreat",
        )


def _check_times(contract: Contract, place: str, limits: SafetyLimits) -> None:
    rates = contract.rates
    for key, hz in (("command_timeout_s", rates.policy_hz), ("first_command_timeout_s",
                    rates.policy_hz), ("joint_state_timeout_s", rates.filter_hz)):  # fmt: skip
        seconds = getattr(limits, key)
        if seconds * hz < 1.0:
            raise InputError(
                f"{place}: {key}",
                f"{seconds:g} is less than one period at {hz} Hz",
                "raise it above the period",
            )
    if limits.residual_wait_s >= limits.command_timeout_s:
        raise InputError(
            f"{place}: residual_wait_s",
            f"{limits.residual_wait_s:g} is not below command_timeout_s",
            "a command would be too old when it is used; lower it",
        )


def _check_jerk(robot: Robot, contract: Contract, place: str, limits: SafetyLimits) -> None:
    """A stop is made of so many ticks: acceleration has to turn around in few of them."""
    names: tuple[str, ...]
    if contract.action.kind == "base_velocity":
        assert robot.mobile_base is not None  # checked with the action
        names = contract.action.names
        acceleration = np.array(robot.mobile_base.acceleration)
        jerk = np.array(robot.mobile_base.jerk)
    else:
        names, acceleration, jerk = robot.joints, robot.acceleration_max, robot.jerk_max
    ticks: Array = (2.0 * acceleration * limits.acceleration_scale * contract.rates.filter_hz) / (
        jerk * limits.jerk_scale
    )
    worst = int(np.argmax(ticks))
    if math.ceil(ticks[worst] - 1e-9) > REVERSAL_TICKS_MAX:
        raise InputError(
            f"{place}: jerk_scale",
            f"{names[worst]} takes {math.ceil(ticks[worst])} ticks from one acceleration limit to"
            f" the other, {REVERSAL_TICKS_MAX} are allowed",
            "raise it, or lower acceleration_scale or the contract's filter_hz",
        )
