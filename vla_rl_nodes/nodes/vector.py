"""Named vectors and action chunks as JointState and JointTrajectory messages."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence

import numpy as np
from builtin_interfaces.msg import Duration
from numpy.typing import NDArray
from sensor_msgs.msg import JointState
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from vla_rl_nodes.nodes.event import time_message


def vector_message(
    stamp_ns: int, names: Sequence[str], values: Iterable[float], frame_id: str = ""
) -> JointState:
    """A named vector: one position for each name."""
    message = JointState(name=list(names), position=[float(v) for v in values])
    message.header.stamp = time_message(stamp_ns)
    message.header.frame_id = frame_id
    return message


def trajectory_message(
    stamp_ns: int,
    names: Sequence[str],
    rows: NDArray[np.floating],
    period_ns: int,
    first_ns: int = 0,
    frame_id: str = "",
    velocities: NDArray[np.floating] | None = None,
    accelerations: NDArray[np.floating] | None = None,
) -> JointTrajectory:
    """Rows [n, len(names)] one period apart, the first at ``first_ns`` after the stamp.

    ``velocities`` and ``accelerations`` are of the rows' shape; None leaves them out.
    """
    columns = {
        key: np.asarray(values, dtype=np.float64)
        for key, values in (
            ("positions", rows), ("velocities", velocities), ("accelerations", accelerations),
        )
        if values is not None
    }  # fmt: skip
    points = []
    for index in range(len(rows)):
        at = first_ns + index * period_ns
        points.append(
            JointTrajectoryPoint(
                # Assigning an array spares a check of every value, at every tick.
                **{key: array("d", values[index].tobytes()) for key, values in columns.items()},
                time_from_start=Duration(sec=at // 1_000_000_000, nanosec=at % 1_000_000_000),
            )
        )
    message = JointTrajectory(joint_names=list(names), points=points)
    message.header.stamp = time_message(stamp_ns)
    message.header.frame_id = frame_id
    return message
