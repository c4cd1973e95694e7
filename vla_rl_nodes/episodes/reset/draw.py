"""What is drawn for a reset, all of it from the episode's seed."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.episodes.reset.script import ResetScript, Spawn
from vla_rl_nodes.episodes.reset.seen import AttemptFailed
from vla_rl_nodes.robots.kinematics import Kinematics
from vla_rl_nodes.robots.model import Robot
from vla_rl_nodes.robots.tool_frame import rotation_from_yaw

Array = NDArray[np.float64]

INSET = 1e-3  # rad, that a drawn goal keeps from the ends of the joints' ranges


class Place(NamedTuple):
    """Where an object is put: x and y, m, and its turn about the vertical, rad."""

    x: float
    y: float
    yaw: float


class Drawn(NamedTuple):
    """The start that a seed stands for: joints [n], rad, and a place for each object."""

    joints: Array
    places: dict[str, Place]


def draw(robot: Robot, kinematics: Kinematics, script: ResetScript, seed: int) -> Drawn:
    """The start of a seed, which is not negative; the same seed gives the same numbers.

    Drawn in the order in which the simulator draws its own reset, so that with the same ranges
    both put the arm to the same joints and the object to the same place.

    Raises:
        AttemptFailed: the tool's start is out of reach.
    """
    rng = np.random.default_rng(seed)
    reach = script.joint_half_range_rad
    joints = robot.home + rng.uniform(-reach, reach, len(robot.joints))
    joints = np.clip(joints, robot.position_min, robot.position_max)
    start = script.tool_start
    if start is not None:
        half = np.array(start.half_range_m)
        position = np.array(start.position_m) + rng.uniform(-half, half)
        turn = rng.uniform(-start.yaw_half_range_rad, start.yaw_half_range_rad)
        found = kinematics.solve(joints, position, rotation_from_yaw(start.yaw_rad + turn))
        if not found.converged:
            raise AttemptFailed("the start drawn for the tool is out of the arm's reach")
        joints = found.q
    places = {thing.name: _place(thing.spawn, rng) for thing in script.objects}
    return Drawn(joints, places)


def perturbed(
    robot: Robot, kinematics: Kinematics, joints: Array, rad: float, metres: float, seed: int
) -> Array:
    """Joint positions [n] near ``joints``: the tool moved by up to ``metres`` along each axis of
    the base, then each joint by up to ``rad``, both uniform, drawn from the seed.

    Raises:
        AttemptFailed: the tool's place is out of reach.
    """
    rng = np.random.default_rng([seed, 0x9E77])
    shift = rng.uniform(-metres, metres, 3)
    turn = rng.uniform(-rad, rad, len(joints))
    if metres > 0.0 and kinematics.has_tool:
        pose = kinematics.fk(joints)
        found = kinematics.solve(joints, pose.position + shift, pose.rotation, posture=joints)
        if not found.converged:
            raise AttemptFailed("the perturbed start is out of the arm's reach")
        joints = found.q
    inside = np.clip(joints + turn, robot.position_min + INSET, robot.position_max - INSET)
    return np.array(inside if rad > 0.0 else joints)


def _place(spawn: Spawn, rng: np.random.Generator) -> Place:
    half = np.array(spawn.half_range_m)
    x, y = np.array(spawn.centre_m) + rng.uniform(-half, half)
    return Place(float(x), float(y), float(rng.uniform(-spawn.yaw_rad, spawn.yaw_rad)))
