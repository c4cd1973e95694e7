"""Joint-level checks of a motion whose jerk is constant between knots."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.bench.safety.bounds import Bounds

Array = NDArray[np.float64]

# What rounding may add: of a limit, and in absolute terms (positions of a few rad carry 1e-15,
# and jerks come from differences of accelerations that are divided by the period).
SHARE = 1e-6
POSITION = 1e-9  # rad
CONTINUITY = (1e-8, 1e-6)  # rad, rad/s: what a knot may differ from the cubic before it
REST = (1e-9, 1e-9)  # rad/s, rad/s^2: a plan's last row
PARTS = (0.25, 0.5, 0.75)  # of a period: where it is looked at between knots

State = tuple[Array, Array, Array]


class Broken(NamedTuple):
    """One bound that did not hold.

    Attributes:
        kind: which.
        row: in which of the intervals.
        excess: by how much, in the bound's own unit.
        detail: of which joint, or which two parts.
    """

    kind: str
    row: int
    excess: float
    detail: str


def between(start: State, end: State, dt: float, part: float) -> tuple[Array, Array]:
    """Positions and velocities [m, n] after ``part`` of the intervals from start to end."""
    q, v, a = start
    jerk = (end[2] - a) / dt
    t = part * dt
    return (
        q + t * (v + t * (a / 2.0 + t * jerk / 6.0)),
        v + t * (a + t * jerk / 2.0),
    )


def check_intervals(bounds: Bounds, start: State, end: State, dt: float) -> list[Broken]:
    """Every joint-level bound over the intervals from start to end, [m, n] each.

    Ranges and position-dependent velocities at the end and at ``PARTS`` of each; accelerations
    and jerks where they are greatest, at the ends; and whether the end is where a constant jerk
    leads from the start.
    """
    broken: list[Broken] = []
    finite = np.isfinite(np.concatenate(end, axis=1)).all(axis=1)
    for row in np.flatnonzero(~finite):
        broken.append(Broken("finite", int(row), np.inf, "not a number"))

    def found(kind: str, excess: Array) -> None:
        for row, joint in np.argwhere(excess > 0.0):
            broken.append(Broken(kind, int(row), float(excess[row, joint]), bounds.joints[joint]))

    q, v, a = end
    jerk = (a - start[2]) / dt
    found("acceleration", np.abs(a) - bounds.a_max * (1.0 + SHARE))
    found("jerk", np.abs(jerk) - bounds.j_max * (1.0 + SHARE))
    led_q, led_v = between(start, end, dt, 1.0)
    found("continuity", np.abs(q - led_q) - CONTINUITY[0])
    found("continuity", np.abs(v - led_v) - CONTINUITY[1])
    for part in (*PARTS, 1.0):
        at, speed = (q, v) if part == 1.0 else between(start, end, dt, part)
        found("position", np.maximum(bounds.q_min - at, at - bounds.q_max) - POSITION)
        low, high = bounds.velocity(at)
        excess = np.maximum(low - speed, speed - high) - SHARE * bounds.v_max
        found("velocity", excess)
    return broken


def check_rest(v: Array, a: Array) -> list[Broken]:
    """Whether plans end at rest: velocities and accelerations [m, n] of their last rows."""
    still = (np.abs(v) <= REST[0]).all(axis=1) & (np.abs(a) <= REST[1]).all(axis=1)
    return [
        Broken("rest", int(row), float(np.abs(v[row]).max()), "the last row")
        for row in np.flatnonzero(~still)
    ]
