"""Where robot and objects are when an episode begins: all of it from one seed."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import mujoco
import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.robots.kinematics import Kinematics
from vla_rl_nodes.robots.model import Robot
from vla_rl_nodes.robots.tool_frame import rotation_from_yaw
from vla_rl_nodes.sim.scene import Scene, Spawn, ToolStart

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Start:
    """Joint positions [n] in rad, and by name the poses of objects [7]: x y z, qw qx qy qz."""

    joints: Vector
    objects: dict[str, Vector]


def draw_start(robot: Robot, scene: Scene, kinematics: Kinematics | None, seed: int) -> Start:
    """The start that a seed stands for; the same seed gives the same bytes.

    Args:
        robot: its home is where the arm is, or where the search for the tool's start begins.
        scene: ranges of everything that is drawn.
        kinematics: of the robot, where the scene has a ``tool_start``.
        seed: not negative.

    Raises:
        InputError: the tool's start is out of reach, or the seed is negative.
    """
    if seed < 0:
        raise InputError("seed", f"is {seed}", "give a whole number from 0")
    rng = np.random.default_rng(seed)
    reach = scene.joint_half_range_rad
    joints = robot.home + rng.uniform(-reach, reach, len(robot.joints))
    joints = np.clip(joints, robot.position_min, robot.position_max)
    if scene.tool_start is not None and kinematics is not None:
        joints = _with_tool_at(scene.name, scene.tool_start, kinematics, joints, rng)
    objects = {
        thing.name: _resting(thing.spawn, scene.support_m + thing.edge_m / 2.0, rng)
        for thing in scene.objects
    }
    return Start(joints, objects)


def upright_pose(position: Vector, yaw: float) -> Vector:
    """Pose [7] of an object at a position [3] in metres, turned about the vertical by rad."""
    return np.array([*position, np.cos(yaw / 2.0), 0.0, 0.0, np.sin(yaw / 2.0)])


def standing_lift(
    model: mujoco.MjModel, data: mujoco.MjData, robot_bodies: Collection[int]
) -> float:
    """By how many metres to raise a robot so that its lowest part just touches the floor."""
    mujoco.mj_kinematics(model, data)
    floor = model.geom("floor").id
    gaps = [
        mujoco.mj_geomDistance(model, data, floor, geom, 10.0, None)
        for geom in range(model.ngeom)
        if model.geom_bodyid[geom] in robot_bodies
    ]
    return -float(min(gaps))


def _with_tool_at(
    scene: str,
    start: ToolStart,
    kinematics: Kinematics,
    joints: Vector,
    rng: np.random.Generator,
) -> Vector:
    half = np.array(start.half_range_m)
    position = np.array(start.position_m) + rng.uniform(-half, half)
    turn = rng.uniform(-start.yaw_half_range_rad, start.yaw_half_range_rad)
    result = kinematics.solve(joints, position, rotation_from_yaw(start.yaw_rad + turn))
    if not result.converged:
        raise InputError(f"scene {scene}: tool_start", "is out of reach", "move it nearer")
    return result.q


def _resting(spawn: Spawn, height: float, rng: np.random.Generator) -> Vector:
    half = np.array(spawn.half_range_m)
    x, y = np.array(spawn.centre_m) + rng.uniform(-half, half)
    yaw = rng.uniform(-spawn.yaw_rad, spawn.yaw_rad)
    return upright_pose(np.array([x, y, height]), yaw)
