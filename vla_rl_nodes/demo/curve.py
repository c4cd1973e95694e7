"""The curve that a controller follows along trajectory messages, one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Stamps = NDArray[np.int64]

SAMPLES = 5  # of each segment between two knots, its end among them


class Knots(NamedTuple):
    """Knots of a curve: times [m] in ns, on the clock that stamps messages; positions, velocities
    and accelerations [m, n], rad, rad/s and rad/s^2."""

    times_ns: Stamps
    q: Array
    v: Array
    a: Array

    def part(self, first: int, end: int) -> Knots:
        """The knots from ``first`` on, before ``end``."""
        rows = slice(first, end)
        return Knots(self.times_ns[rows], self.q[rows], self.v[rows], self.a[rows])


class Trajectory(NamedTuple):
    """One message: when it was published, and its points."""

    publish_ns: int
    knots: Knots


class Seam(NamedTuple):
    """Where a message took over from the one before: its time in ns, and how far each joint's
    command leapt there [n], rad."""

    time_ns: int
    leap: Array


class Samples(NamedTuple):
    """Values between and at knots [m, s, n]: positions, velocities, accelerations and jerks."""

    q: Array
    v: Array
    a: Array
    jerk: Array


def read_trajectory(message: Any, publish_ns: int, joints: Sequence[str]) -> Trajectory | None:
    """A message's points with the joints in that order; None when it is not usable.

    Usable are finite positions, velocities and accelerations of all joints in every point, at
    rising times, at rest in the last one.
    """
    names = list(message.joint_names)
    if sorted(names) != sorted(joints) or not message.points:
        return None
    order = [names.index(joint) for joint in joints]
    columns = []
    for field in ("positions", "velocities", "accelerations"):
        rows = [np.asarray(getattr(p, field), dtype=np.float64) for p in message.points]
        if any(row.shape != (len(names),) for row in rows):
            return None
        columns.append(np.array(rows)[:, order])
    if not all(np.isfinite(column).all() for column in columns) or columns[1][-1].any():
        return None
    stamp = message.header.stamp
    start = int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)
    times = np.array([
        start + int(p.time_from_start.sec) * 1_000_000_000 + int(p.time_from_start.nanosec)
        for p in message.points
    ], dtype=np.int64)  # fmt: skip
    if (np.diff(times) <= 0).any():
        return None
    return Trajectory(publish_ns, Knots(times, *columns))


def follow(messages: Sequence[Trajectory]) -> tuple[Knots, list[Seam]]:
    """What a controller follows that hears each of these messages when it is published.

    Args:
        messages: at least one, in order of publication, none lacking in between.

    Returns:
        The knots, and each takeover. A message takes over at its first point's time, or when it
        is published if that is later.
    """
    firsts = np.array([message.knots.times_ns[0] for message in messages])
    # Whatever a later message begins with is not followed on an earlier one any more.
    ends = np.minimum.accumulate(firsts[:0:-1])[::-1]
    parts, seams = [], []
    for (before, after), end in zip(pairwise(messages), ends, strict=True):
        count = int(np.searchsorted(before.knots.times_ns, end, side="left"))
        parts.append(before.knots.part(0, count))
        at = max(after.publish_ns, int(after.knots.times_ns[0]))
        leap = position_at(after.knots, at) - position_at(before.knots, at)
        seams.append(Seam(at, leap))
    parts.append(messages[-1].knots)
    return Knots(*(np.concatenate(column) for column in zip(*parts, strict=True))), seams


def position_at(knots: Knots, at_ns: int) -> Array:
    """The positions [n] at a time; before the first knot and after the last one, theirs."""
    after = int(np.searchsorted(knots.times_ns, at_ns, side="right"))
    if after in (0, len(knots.q)):
        rest: Array = knots.q[0 if after == 0 else -1]
        return rest
    between = knots.part(after - 1, after + 1)
    begin, end = between.times_ns
    position: Array = sample(between, np.array([(at_ns - begin) / (end - begin)])).q[0, 0]
    return position


def sample(knots: Knots, shares: Array) -> Samples:
    """The quintics between neighbouring knots at shares [s] of each segment: [m - 1, s, n].

    A quintic is fixed by position, velocity and acceleration at its two ends, which is how
    joint_trajectory_controller interpolates; where the jerk is constant it is a cubic.
    """
    h = (np.diff(knots.times_ns) / 1e9)[:, None]
    q, v, a = knots.q[:-1], knots.v[:-1], knots.a[:-1]
    # What is left to gain at the end, beyond constant acceleration.
    dq = knots.q[1:] - (q + v * h + 0.5 * a * h**2)
    dv = (knots.v[1:] - (v + a * h)) * h
    da = (knots.a[1:] - a) * h**2
    c3 = (10.0 * dq - 4.0 * dv + 0.5 * da) / h**3
    c4 = (-15.0 * dq + 7.0 * dv - da) / h**4
    c5 = (6.0 * dq - 3.0 * dv + 0.5 * da) / h**5
    t = (h * shares)[:, :, None]
    q, v, a, c3, c4, c5 = (column[:, None, :] for column in (q, v, a, c3, c4, c5))
    return Samples(
        q + t * (v + t * (a / 2 + t * (c3 + t * (c4 + t * c5)))),
        v + t * (a + t * (3 * c3 + t * (4 * c4 + t * 5 * c5))),
        a + t * (6 * c3 + t * (12 * c4 + t * 20 * c5)),
        6 * c3 + t * (24 * c4 + t * 60 * c5),
    )
