"""Puts together what an intervention needs, and refuses devices that cannot move the robot."""

from __future__ import annotations

from collections.abc import Sequence

from vla_rl_nodes.contract.spec import JOINT_KINDS, Contract
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.intervention.base_moves import BaseMoves
from vla_rl_nodes.intervention.device import Device
from vla_rl_nodes.intervention.joint_moves import JointMoves
from vla_rl_nodes.intervention.moves import Moves
from vla_rl_nodes.intervention.settings import DeviceSettings, load_device
from vla_rl_nodes.intervention.tool_moves import ToolMoves
from vla_rl_nodes.robots.model import Robot


def make_moves(contract: Contract, robot: Robot) -> Moves:
    """What the contract's kind of action takes.

    Raises:
        InputError: a kind that no robot takes.
    """
    action, period_s = contract.action, 1.0 / contract.policy_hz
    if action.kind == "plane_delta":
        raise InputError(
            f"contract {contract.name}", "plane_delta moves no robot, so no person can",
            "use the contract of a robot",
        )  # fmt: skip
    if action.kind == "base_velocity":
        return BaseMoves(action)
    if action.kind in JOINT_KINDS:
        return JointMoves(action, robot, period_s)
    return ToolMoves(action, robot, period_s)


def check_device(settings: DeviceSettings, contract: Contract, robot: Robot) -> None:
    """Refuses a device that cannot move this robot.

    Raises:
        InputError: naming the device, and what does not fit.
    """
    place, base = f"device {settings.name}", contract.action.kind == "base_velocity"
    if settings.leader is not None:
        count = len(settings.leader.joints)
        if base:
            raise InputError(place, "is an arm, a mobile base has none", "use another device")
        if count != len(robot.joints):
            raise InputError(
                place, f"has {count} joints, {robot.name} has {len(robot.joints)}",
                "use one that is jointed as the robot is",
            )  # fmt: skip
        if settings.leader.gripper is not None and not contract.action.has_gripper:
            raise InputError(
                place, "has a trigger, the contract no gripper", "leave leader.gripper out"
            )
        return
    if not base and robot.tool_frame is None:
        raise InputError(
            place, f"moves a tool, {robot.name} has none", "use a leader that is jointed alike"
        )
    if base and settings.frame == "tool":
        raise InputError(place, "moves along the tool, a mobile base has none", "set frame: base")


def load_devices(names: str, contract: Contract, robot: Robot) -> list[Device]:
    """The devices of a list of names or paths between commas.

    Raises:
        InputError: there are none, one stands twice, or one is wrong or cannot move the robot.
    """
    place = "intervention: parameter devices"
    devices = [Device(load_device(name.strip())) for name in names.split(",") if name.strip()]
    given = [device.name for device in devices]
    if not given:
        raise InputError(place, "names none", "give one of config/intervention")
    if len(set(given)) != len(given):
        raise InputError(place, f"names one twice: {', '.join(given)}", "give each once")
    for device in devices:
        check_device(device.settings, contract, robot)
    return devices


def named(devices: Sequence[Device], name: str) -> Device:
    """The device of a name, the first where the name is empty.

    Raises:
        InputError: none has that name.
    """
    given = [device.name for device in devices]
    if name and name not in given:
        raise InputError(
            f"intervention: parameter default_device {name}", "is none of devices",
            f"give one of {', '.join(given)}",
        )  # fmt: skip
    return devices[given.index(name) if name else 0]
