"""Whether the start is what it should be: joints, rest, gripper, and the task's objects."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.episodes.reset.kit import Kit
from vla_rl_nodes.episodes.reset.objects import misplaced
from vla_rl_nodes.episodes.reset.seen import Seen

Array = NDArray[np.float64]


def arm_problem(kit: Kit, seen: Seen, goal: Array | None, width: float | None) -> str:
    """Why the arm is not at its goal, in words; empty where it is.

    Args:
        kit: tolerances.
        seen: the present tick.
        goal: joints [n], rad; None: anywhere within their ranges.
        width: the gripper's opening, m; None: any.
    """
    settings, joints = kit.settings, kit.robot.joints
    if seen.joints is None:
        return "the joint states are silent"
    if seen.speed >= settings.rest_speed:
        return "the arm moves"
    if goal is None:
        low, high = kit.robot.position_min, kit.robot.position_max
        out = np.maximum(low - seen.joints, seen.joints - high)
        if out.max() > 0.0:
            return f"{joints[int(np.argmax(out))]} is outside its range"
    else:
        away = np.abs(seen.joints - goal)
        worst = int(np.argmax(away))
        if away[worst] > settings.joint_tolerance:
            return f"{joints[worst]} is {away[worst]:.3f} rad from the start"
    if width is not None and kit.robot.gripper is not None:
        if seen.width is None:
            return "the gripper's state is silent"
        if abs(seen.width - width) > settings.width_tolerance:
            return f"the gripper is open {seen.width:.3f} m, {width:.3f} m are wanted"
    return ""


def unseen(kit: Kit, seen: Seen) -> str:
    """The first object of the script whose place nobody tells; empty where all are told."""
    things = [] if kit.script is None else kit.script.objects
    return next((thing.name for thing in things if seen.pose(thing.name) is None), "")


def task_problem(kit: Kit, seen: Seen) -> str:
    """Why the task's objects are not where they belong; those that nobody sees are left out."""
    for thing in [] if kit.script is None else kit.script.objects:
        pose = seen.pose(thing.name)
        problem = "" if pose is None else misplaced(thing, pose)
        if problem:
            return problem
    return ""
