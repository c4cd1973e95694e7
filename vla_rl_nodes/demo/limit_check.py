"""Commanded and measured joint motion held against the robot's limits and the workspace box."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.bags.reader import EpisodeReader
from vla_rl_nodes.demo.motion import Motion, Window, read_commanded, read_measured
from vla_rl_nodes.robots.kinematics import Kinematics
from vla_rl_nodes.robots.model import Robot
from vla_rl_nodes.safety.limits import SafetyLimits

Array = NDArray[np.float64]

# The filter itself allows 1e-9 for rounding (rad, rad/s and m); divided by its period of 10 ms
# that is 1e-7 rad/s^2. These are ten times as much, and far below what an encoder resolves.
POSITION_TOLERANCE = 1e-8  # rad
VELOCITY_TOLERANCE = 1e-8  # rad/s
ACCELERATION_TOLERANCE = 1e-6  # rad/s^2
JERK_TOLERANCE = 1e-4  # rad/s^3; rounded positions, by the cube of the period
# A leap within one cycle of the arm's own controller is a jerk of up to three times itself by the
# cube of the cycle, as the arm sees it.
CYCLE_S = 1e-3
TOOL_TOLERANCE = 1e-8  # m, on top of the workspace's own tolerance
AT_REST = 0.02  # rad/s


class Violation(NamedTuple):
    """One sample of one joint, or of the tool along one axis, beyond its limit.

    ``source`` is ``commanded`` or ``measured``; ``quantity`` is ``position``, ``velocity``,
    ``acceleration``, ``jerk``, ``workspace``, ``seam`` (where one message took over from another,
    a leap that to the arm's controller is more than the jerk limit) or ``message`` (a command
    that is not usable at all: then there is no value and no limit). ``time_s`` counts from the
    start of the episode.
    """

    source: str
    quantity: str
    name: str
    time_s: float
    value: float | None
    limit: float | None
    unit: str


@dataclass(frozen=True)
class LimitMeasure:
    """What was commanded and measured, and every sample of it that was beyond a limit.

    ``use`` is, by quantity, the share of each joint's limit that was commanded [m, n] (position:
    of the way from the middle of the range to its end); 1 is the limit. ``missing`` counts
    commands that the filter says it made and the bag does not hold: no speed or acceleration is
    computed across one of them. ``late`` counts messages that came when their first period was
    over, as on a machine that stalls, and ``leap`` is the greatest leap that followed, rad.
    ``rest_s`` is the time from the episode's end until every joint's measured speed stays below
    0.02 rad/s; None when that did not come within the bag, or no speeds were measured.
    """

    commanded: Motion
    measured: Motion
    violations: tuple[Violation, ...]
    use: dict[str, Array]
    missing: int
    late: int
    leap: float
    rest_s: float | None

    def peak_use(self, quantity: str) -> Array:
        """Greatest share of each joint's limit that was commanded [n], 0 without commands."""
        use = self.use[quantity]
        peak: Array = np.where(np.isnan(use), 0.0, use).max(axis=0, initial=0.0)
        return peak

    @property
    def counts(self) -> dict[str, int]:
        """Violations by source and quantity, such as ``commanded velocity``."""
        return dict(sorted(Counter(f"{v.source} {v.quantity}" for v in self.violations).items()))


def check_limits(
    reader: EpisodeReader,
    namespace: str,
    robot: Robot,
    limits: SafetyLimits,
    period_s: float,
    window: Window,
) -> LimitMeasure:
    """Holds every command and joint state, from the episode's ready to the bag's end, to the
    limits.

    Commanded positions, velocities, accelerations and jerks are held to the robot's own limits,
    not to the filter's tighter ones, at the commanded knots and at samples between them; of each
    step the worst sample of each joint counts. Velocity limits depend on the position. The tool
    point may leave the workspace box by the box's tolerance. Measured positions and velocities
    are held to the same limits.

    Args:
        reader: the episode's bag.
        namespace: with the slash before and behind, such as ``/fr3/``.
        robot: joint limits.
        limits: the workspace box and its tolerance.
        period_s: the filter's nominal period, s.
        window: the episode in time.

    Raises:
        InputError: a message that does not fit its type.
    """
    kinematics = Kinematics(robot)
    measured = read_measured(reader, namespace, robot, kinematics, window)
    commanded = read_commanded(reader, namespace, robot, kinematics, window, period_s, measured)
    found = [
        Violation("commanded", "message", topic, time_s, None, None, "")
        for time_s, topic in commanded.unusable
    ]
    found += _joints("commanded", robot, commanded.inside)
    found += _derivatives(robot, commanded.inside)
    found += _workspace(limits, commanded.inside)
    found += _seams(robot, commanded.leaps)
    found += _joints("measured", robot, measured[1])
    return LimitMeasure(
        commanded=commanded.motion,
        measured=measured[1],
        violations=tuple(sorted(found, key=lambda v: v.time_s)),
        use=_use(robot, commanded.motion),
        missing=commanded.missing,
        late=commanded.late,
        leap=max((float(np.abs(leap).max()) for _, leap in commanded.leaps), default=0.0),
        rest_s=_rest_s(measured[1], (window.end_ns - window.start_ns) / 1e9),
    )


def _use(robot: Robot, motion: Motion) -> dict[str, Array]:
    middle = (robot.position_max + robot.position_min) / 2.0
    half = (robot.position_max - robot.position_min) / 2.0
    lower, upper = robot.velocity_bounds(motion.positions)
    bound = np.where(motion.velocities >= 0.0, upper, -lower)
    with np.errstate(divide="ignore", invalid="ignore"):
        speed = np.where(motion.velocities == 0.0, 0.0, np.abs(motion.velocities) / bound)
    return {
        "position": np.abs(motion.positions - middle) / half,
        "velocity": speed,
        "acceleration": np.abs(motion.accelerations) / robot.acceleration_max,
        "jerk": np.abs(motion.jerks) / robot.jerk_max,
    }


def _joints(source: str, robot: Robot, motion: Motion) -> list[Violation]:
    names, times, q = robot.joints, motion.times_s, motion.positions
    bounds = robot.position_min, robot.position_max
    found = _beyond(source, "position", names, times, q, bounds, POSITION_TOLERANCE, "rad")
    bounds = robot.velocity_bounds(q)
    return found + _beyond(
        source, "velocity", names, times, motion.velocities, bounds, VELOCITY_TOLERANCE, "rad/s"
    )


def _derivatives(robot: Robot, motion: Motion) -> list[Violation]:
    found = []
    for quantity, values, most, tolerance, unit in (
        ("acceleration", motion.accelerations, robot.acceleration_max, ACCELERATION_TOLERANCE,
         "rad/s^2"),
        ("jerk", motion.jerks, robot.jerk_max, JERK_TOLERANCE, "rad/s^3"),
    ):  # fmt: skip
        found += _beyond("commanded", quantity, robot.joints, motion.times_s, values,
                         (-most, most), tolerance, unit)  # fmt: skip
    return found


def _workspace(limits: SafetyLimits, motion: Motion) -> list[Violation]:
    box, margin = limits.workspace, limits.workspace_tolerance
    if box is None:
        return []
    return _beyond(
        "commanded", "workspace", ("tool x", "tool y", "tool z"), motion.times_s, motion.tool,
        (box.lower - margin, box.upper + margin), TOOL_TOLERANCE, "m",
    )  # fmt: skip


def _seams(robot: Robot, leaps: Sequence[tuple[float, Array]]) -> list[Violation]:
    if not leaps:
        return []
    times = np.array([time_s for time_s, _ in leaps])
    most = robot.jerk_max * CYCLE_S**3 / 3.0
    return _beyond("commanded", "seam", robot.joints, times, np.array([leap for _, leap in leaps]),
                   (-most, most), 0.0, "rad")  # fmt: skip


def _beyond(
    source: str,
    quantity: str,
    names: Sequence[str],
    times_s: Array,
    values: Array,
    bounds: tuple[Array, Array],
    tolerance: float,
    unit: str,
) -> list[Violation]:
    """One entry for every value [m, k] outside its bounds; NaN is no value.

    Of samples [m, s, k] of a step the one that is furthest outside counts. Bounds are [k] or of
    the values' shape.
    """
    lower, upper = (np.broadcast_to(bound, values.shape) for bound in bounds)
    beyond = np.nan_to_num(np.maximum(values - upper, lower - values), nan=-np.inf)
    if values.ndim == 3:
        worst = beyond.argmax(axis=1)[:, None]
        values, lower, upper, beyond = (
            np.take_along_axis(column, worst, axis=1)[:, 0]
            for column in (values, lower, upper, beyond)
        )
        times_s = times_s[:, -1]
    return [
        Violation(
            source, quantity, names[j], float(times_s[i]), float(values[i, j]),
            float(upper[i, j] if values[i, j] > upper[i, j] else lower[i, j]), unit,
        )
        for i, j in np.argwhere(beyond > tolerance)
    ]  # fmt: skip


def _rest_s(measured: Motion, end_s: float) -> float | None:
    after = measured.times_s >= end_s
    speeds = np.abs(measured.velocities[after]).max(axis=1, initial=0.0)
    if not len(speeds) or np.isnan(speeds).any() or speeds[-1] >= AT_REST:
        return None
    moving = np.flatnonzero(speeds >= AT_REST)
    first = int(moving[-1]) + 1 if len(moving) else 0
    return max(float(measured.times_s[after][first]) - end_s, 0.0)
