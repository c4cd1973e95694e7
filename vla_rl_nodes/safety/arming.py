"""Decides whether, and from which joint positions, the filter may take over an arm."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.robots.kinematics import Kinematics
from vla_rl_nodes.robots.model import Robot
from vla_rl_nodes.robots.tool_frame import tilt_from_rotation
from vla_rl_nodes.safety.clearance import Clearance
from vla_rl_nodes.safety.inputs import Sample
from vla_rl_nodes.safety.limits import SafetyLimits
from vla_rl_nodes.safety.state import Problem

Array = NDArray[np.float64]

HELD = 0.02  # rad, between command and measurement of a joint that its controller holds


def starting_position(
    robot: Robot,
    kinematics: Kinematics,
    limits: SafetyLimits,
    clearance: Clearance,
    downward: bool,
    sample: Sample | Problem,
    q_measured: Array,
    at_rest: bool,
    commanded: Array | None,
) -> Array:
    """Joint positions [n] (rad) that the commanded motion begins from, at rest.

    An arm that is about where it was last commanded to be is held there by its controller, and
    goes on from there: from where it sags to, the controller would leap. One that has been moved
    away meanwhile goes on from where it was measured.

    Args:
        robot: position limits.
        kinematics: the tool's tilt.
        limits: the greatest tracking error and tilt.
        clearance: distances between parts and to what is around.
        downward: whether the actions are of a tool that points down.
        sample: the newest joint state, or what is wrong with it.
        q_measured: where the arm is said to be [n], rad.
        at_rest: whether it was measured to stand still.
        commanded: where it was last commanded to be [n]; None before the first arming.

    Raises:
        InputError: no fresh joint state, one that does not agree, a position that is not finite
            or outside its range, an arm that moves, parts that overlap, or a tool that is
            tilted too far.
    """
    if isinstance(sample, Problem):
        raise InputError(
            "arm", f"there is no fresh joint state: {sample.message}", "check the robot's driver"
        )
    q = np.array(q_measured, dtype=np.float64)
    if q.shape != (len(robot.joints),) or not np.isfinite(q).all():
        raise InputError("arm", "the measured position is not usable", "check the driver")

    if not (np.abs(q - sample.values) <= limits.tracking_error_max).all():
        raise InputError("arm", "the arm is not at the given position", "give a fresh one")
    held = commanded is not None and bool((np.abs(q - commanded) <= HELD).all())
    if held and commanded is not None:
        q = commanded.copy()
    for i, name in enumerate(robot.joints):
        low, high = robot.position_min[i], robot.position_max[i]
        if not low <= q[i] <= high:
            raise InputError(
                "arm",
                f"{name} is at {q[i]:.4f} rad, outside {low:.4f}..{high:.4f}",
                "move the arm by hand",
            )
    _refuse_overlap(clearance, q)
    if downward and limits.arming_tilt_max is not None:
        tilt = tilt_from_rotation(kinematics.fk(q).rotation)
        if not tilt <= limits.arming_tilt_max:
            raise InputError("arm", f"the tool is tilted by {tilt:.2f} rad", "point it down")
    if not (held or at_rest):
        # Its controller is on its way to somewhere else: a command to where it is now would leap.
        raise InputError("arm", "the arm moves, or was not measured for 20 ms", "wait for rest")
    return q


def _refuse_overlap(clearance: Clearance, q: Array) -> None:
    """A part that is in another could go on through it, for all that distances say."""
    distances = clearance.distances(q)
    if distances.size and float(distances.min()) < 0.0:
        worst = int(np.argmin(distances))
        one, other = clearance.names[worst]
        raise InputError(
            "arm",
            f"{one} and {other} overlap by {-1e3 * distances[worst]:.1f} mm, fingers open",
            "move the arm by hand, or correct the shapes",
        )
