"""Joint states, gripper and wrench to one named state vector with known units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.contract.decode import named_vector
from vla_rl_nodes.contract.spec import NAMED_VECTOR, Contract
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.robots.kinematics import Kinematics
from vla_rl_nodes.robots.model import Robot
from vla_rl_nodes.robots.tool_frame import yaw_from_rotation

STATE_TOPIC = "observation/state"
_WRENCH = {
    "force_x": "N", "force_y": "N", "force_z": "N",
    "torque_x": "N*m", "torque_y": "N*m", "torque_z": "N*m",
}  # fmt: skip


@dataclass(frozen=True)
class GripperState:
    """Opening width in metres and its rate in metres a second."""

    width: float
    speed: float


def quantities(robot: Robot, gripper: bool, wrench: bool) -> dict[str, str]:
    """Name and unit of every component that the state vector of a robot holds, in order."""
    names: dict[str, str] = {}
    if robot.tool_frame is not None:
        names |= {"tool_x": "m", "tool_y": "m", "tool_z": "m", "tool_yaw": "rad"}
    if gripper:
        names |= {"gripper_width": "m", "gripper_speed": "m/s"}
    names |= {joint: "rad" for joint in robot.joints}
    names |= {f"{joint}_velocity": "rad/s" for joint in robot.joints}
    if wrench:
        names |= _WRENCH
    return names


def check_contract(contract: Contract, available: dict[str, str]) -> None:
    """Refuses a contract that selects a state which this robot does not give, or another unit.

    Raises:
        InputError: naming the stream and the component.
    """
    for stream in contract.streams:
        if stream.type != NAMED_VECTOR or stream.topic != STATE_TOPIC:
            continue
        for transform in stream.transforms:
            for quantity in transform.select or ():
                unit = available.get(quantity.name)
                place = f"contract {contract.name}: {stream.key}.{quantity.name}"
                if unit is None:
                    raise InputError(
                        place,
                        f"is not given by robot {contract.robot}",
                        f"select from {', '.join(available)}",
                    )
                if unit != quantity.unit:
                    raise InputError(place, f"is in {unit}", f"write unit: {unit}")


def named_velocities(message: Any, names: Sequence[str], place: str) -> NDArray[np.float64]:
    """Velocities of a JointState by name, float64 [len(names)].

    Raises:
        InputError: as :func:`named_vector`, and when there is not one velocity for each name.
    """
    if len(message.velocity) != len(message.name):
        raise InputError(
            place,
            f"{len(message.name)} names but {len(message.velocity)} velocities",
            "publish one velocity for each name",
        )
    turned = SimpleNamespace(name=message.name, position=message.velocity)
    return named_vector(turned, names, place)


def state_vector(
    kinematics: Kinematics,
    position: NDArray[np.float64],
    velocity: NDArray[np.float64],
    gripper: GripperState | None,
    wrench: NDArray[np.float64] | None,
) -> NDArray[np.float64]:
    """The state vector in the order of :func:`quantities`.

    Args:
        kinematics: of the robot whose joints these are.
        position: joint positions [n], rad.
        velocity: joint velocities [n], rad/s.
        gripper: opening and speed, or None for a robot without one.
        wrench: force and torque [6] in the base frame, N and N*m, or None.
    """
    parts: list[Any] = []
    if kinematics.has_tool:
        pose = kinematics.fk(position)
        parts += [pose.position, [yaw_from_rotation(pose.rotation)]]
    if gripper is not None:
        parts.append([gripper.width, gripper.speed])
    parts += [position, velocity]
    if wrench is not None:
        parts.append(wrench)
    return np.concatenate([np.asarray(p, dtype=np.float64) for p in parts])
