"""Messages as rosbags makes them, for bags that the tests write."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rosbags.typesys import Stores, get_typestore

STORE = get_typestore(Stores.ROS2_JAZZY)
T = STORE.types
IMAGE = "sensor_msgs/msg/Image"
VECTOR = "sensor_msgs/msg/JointState"
EVENT = "diagnostic_msgs/msg/DiagnosticArray"
TRAJECTORY = "trajectory_msgs/msg/JointTrajectory"


def header(stamp_ns: int, frame_id: str = "") -> Any:
    stamp = T["builtin_interfaces/msg/Time"](
        sec=stamp_ns // 1_000_000_000, nanosec=stamp_ns % 1_000_000_000
    )
    return T["std_msgs/msg/Header"](stamp=stamp, frame_id=frame_id)


def image(stamp_ns: int, pixels: NDArray[np.uint8], padding: int = 0) -> Any:
    height, width, _ = pixels.shape
    rows = np.zeros((height, 3 * width + padding), dtype=np.uint8)
    rows[:, : 3 * width] = pixels.reshape(height, 3 * width)
    return T[IMAGE](
        header(stamp_ns), height, width, "rgb8", 0, 3 * width + padding, rows.reshape(-1)
    )


def vector(
    stamp_ns: int, names: list[str], values: Any, frame_id: str = "", speeds: Any = ()
) -> Any:
    return T[VECTOR](
        header(stamp_ns, frame_id),
        names,
        np.array(values, dtype=np.float64),
        np.array(speeds, dtype=np.float64),
        np.zeros(0),
    )


def event(stamp_ns: int, message: str, values: dict[str, str], hardware_id: str = "") -> Any:
    entries = [T["diagnostic_msgs/msg/KeyValue"](key=k, value=v) for k, v in values.items()]
    status = T["diagnostic_msgs/msg/DiagnosticStatus"](
        level=0, name="x", message=message, hardware_id=hardware_id, values=entries
    )
    return T[EVENT](header(stamp_ns), [status])


def trajectory(
    stamp_ns: int,
    names: list[str],
    rows: NDArray[np.float64],
    speeds: NDArray[np.float64] | None = None,
    accelerations: NDArray[np.float64] | None = None,
    times_ns: Sequence[int] | None = None,
) -> Any:
    """Points [m, n] at times from the stamp; without times they are all due at the stamp."""
    empty = np.zeros(0)
    points = []
    for i, row in enumerate(rows):
        at = 0 if times_ns is None else times_ns[i]
        points.append(
            T["trajectory_msgs/msg/JointTrajectoryPoint"](
                np.ascontiguousarray(row),
                empty if speeds is None else np.ascontiguousarray(speeds[i]),
                empty if accelerations is None else np.ascontiguousarray(accelerations[i]),
                empty,
                T["builtin_interfaces/msg/Duration"](
                    sec=at // 1_000_000_000, nanosec=at % 1_000_000_000
                ),
            )
        )
    return T[TRAJECTORY](header(stamp_ns), names, points)
