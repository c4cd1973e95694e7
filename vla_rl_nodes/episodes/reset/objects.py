"""Where an object is, whether it is where it belongs, and whether the gripper holds it."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.episodes.reset.script import PickNumbers, ResetObject

Array = NDArray[np.float64]

ON_TOP = 0.012  # m that an object's centre may be off its resting height
NEAR_TOOL = 0.75  # of its edge: farther from the tool point than this it is not held


def rotation_of(quaternion: Array) -> Array:
    """Rotation [3, 3] of a quaternion w x y z [4], which is brought to unit length."""
    w, x, y, z = quaternion / math.sqrt(float(quaternion @ quaternion))
    return np.array([
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ])  # fmt: skip


def tilt_of(thing: ResetObject, pose: Array) -> float:
    """Angle between the vertical and what should be vertical of an object, rad."""
    up = rotation_of(pose[3:])[2]  # the vertical's components along the object's axes
    level = float(np.abs(up).max()) if thing.upright == "any_face" else float(up[2])
    return math.acos(min(max(level, -1.0), 1.0))


def depth_of(thing: ResetObject, pose: Array | None) -> float:
    """How far the lowest point of a box is below its centre, m; unseen it is taken as level."""
    if pose is None:
        return thing.edge_m / 2.0
    return float(thing.edge_m / 2.0 * np.abs(rotation_of(pose[3:])[2]).sum())


def yaw_of(pose: Array) -> float:
    """Turn about the vertical of a box's most level edge, rad; one of four that look alike."""
    rotation = rotation_of(pose[3:])
    axis = rotation[:, int(np.argmin(np.abs(rotation[2])))]
    return math.atan2(axis[1], axis[0])


def like_yaws(yaw: float, near: float) -> list[float]:
    """The turns of a box that look like ``yaw``, rad, the nearest to ``near`` first."""
    quarter = math.pi / 2.0
    first = near + math.remainder(yaw - near, quarter)
    side = quarter if first <= near else -quarter
    return [first, first + side, first - side, first + 2.0 * side]


def misplaced(thing: ResetObject, pose: Array) -> str:
    """Why an object is not where it belongs, in words; empty where it is."""
    x, y, z = pose[:3].tolist()
    rests = thing.support_m + thing.edge_m / 2.0
    if z < rests - ON_TOP:
        return f"the {thing.name} lies {1e3 * (rests - z):.0f} mm below its place"
    if z > rests + ON_TOP:
        return f"the {thing.name} is {1e3 * (z - rests):.0f} mm above its place"
    spawn = thing.spawn
    out = np.abs(pose[:2] - np.array(spawn.centre_m)) - np.array(spawn.half_range_m)
    if out.max() > spawn.slack_m:
        return f"the {thing.name} is at ({x:.2f}, {y:.2f}) m, {1e3 * out.max():.0f} mm outside" \
            " its area"  # fmt: skip
    tilt = tilt_of(thing, pose)
    if tilt > thing.tilt_max_rad:
        return f"the {thing.name} is tilted by {tilt:.2f} rad"
    return ""


def held(
    thing: ResetObject, pose: Array | None, tool: Array, width: float | None, pick: PickNumbers
) -> bool:
    """Whether the gripper holds an object: by its opening, and by the pose where it is known.

    Args:
        thing: the object.
        pose: of it [7], or None.
        tool: position of the tool point [3], m.
        width: measured opening, m; None without a gripper.
        pick: the openings of a grasp that holds.
    """
    if width is None:
        return False
    low, high = (share * thing.edge_m for share in pick.grip_share)
    if not low <= width <= high:
        return False
    if pose is None:
        return True
    gap = pose[:3] - tool
    return float(np.sqrt(gap @ gap)) <= NEAR_TOOL * thing.edge_m
