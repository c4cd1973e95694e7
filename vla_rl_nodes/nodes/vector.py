"""Named vectors and action chunks as JointState and JointTrajectory messages."""

from __future__ import annotations

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
) -> JointTrajectory:
    """Rows [n, len(names)] one period apart, the first at ``first_ns`` after the stamp."""
    points = []
    for index, row in enumerate(rows):
        at = first_ns + index * period_ns
        points.append(
            JointTrajectoryPoint(
                positions=[float(v) for v in row],
                time_from_start=Duration(sec=at // 1_000_000_000, nanosec=at % 1_000_000_000),
            )
        )
    message = JointTrajectory(joint_names=list(names), points=points)
    message.header.stamp = time_message(stamp_ns)
    message.header.frame_id = frame_id
    return message
