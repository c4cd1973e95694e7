"""Checks, before anything moves, that robot, contract and safety limits fit together."""

from __future__ import annotations

import numpy as np

from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.robots.model import Robot
from vla_rl_nodes.safety.limits import SafetyLimits


def check_settings(robot: Robot, contract: Contract, limits: SafetyLimits) -> None:
    """Passes silently when the filter can run with these three.

    Raises:
        InputError: they name different robots or frames, the actions are of a kind that no robot
            takes, the residual bounds are for other axes, the timeouts are too short for the
            contract's rates, or the filter's rate is too high for the robot's jerk limits.
    """
    place = f"safety limits {limits.name}"
    for what, name in (("safety limits", limits.robot), ("contract", contract.robot)):
        if name != robot.name:
            raise InputError(what, f"is for {name}, the robot is {robot.name}", "choose another")
    if contract.action.kind != "tool_delta":
        raise InputError(
            "contract: action.kind",
            f"is {contract.action.kind}, a robot's filter takes only tool_delta",
            "choose a robot's contract",
        )
    if contract.action.frame != robot.base_frame:
        raise InputError(
            "contract: action.frame",
            f"is {contract.action.frame}, the robot's base is {robot.base_frame}",
            "write actions in the base frame",
        )
    if robot.tool_frame is None:
        raise InputError(robot.name, "has no tool frame", "choose an arm")
    if set(limits.residual_bound) != set(contract.action.names):
        raise InputError(
            f"{place}: residual_bound",
            f"is for {', '.join(limits.residual_bound)}",
            f"give {', '.join(contract.action.names)}",
        )
    if limits.command_timeout_s * contract.policy_hz < 1.0:
        raise InputError(
            f"{place}: command_timeout_s",
            f"{limits.command_timeout_s:g} is less than one period at {contract.policy_hz} Hz",
            "raise it above the control period",
        )
    # Acceleration may go from one limit to the other between two ticks.
    change = 2.0 * robot.acceleration_max * limits.acceleration_scale * contract.rates.filter_hz
    if (change > robot.jerk_max).any():
        worst = robot.joints[int(np.argmax(change / robot.jerk_max))]
        raise InputError(
            f"{place}: acceleration_scale",
            f"lets {worst} exceed its jerk limit at {contract.rates.filter_hz} Hz",
            "lower it or the contract's filter_hz",
        )
