"""A hash of the state in which an episode started, to tell starts apart and find equal ones.

It is SHA-256 over names, types, shapes and little-endian bytes, so it is equal only where the
state is equal to the last bit: a simulation put to the same seed and asked at the same physics
step. On a real robot no two starts are alike, and the hash names the start and no more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.bags.reader import EpisodeReader
from vla_rl_nodes.bags.schemas import decode
from vla_rl_nodes.contract.decode import named_vector, stamp_ns
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.replay.episode import content_sha256
from vla_rl_nodes.robots.load import load_robot

_JOINT_STATE = "sensor_msgs/msg/JointState"
_OLDEST_NS = 200_000_000  # joint states come hundreds of times a second
_LATE_NS = 1_000_000_000  # none arrives later than so


@dataclass(frozen=True)
class StartState:
    """What the hash was taken of, and the hash."""

    source: Literal["privileged", "observation"]
    sha256: str


def start_state(
    privileged: NDArray[np.float64] | None,
    privileged_names: Sequence[str],
    observations: Mapping[str, NDArray[Any]],
    joints: Mapping[str, float] | None,
) -> StartState:
    """The hash of the simulator's state at the first step, where there is one.

    Without it, it is that of what the policy saw at the first step and of the joints measured
    last before it.

    Args:
        privileged: the simulator's state at each step [T, P], or None.
        privileged_names: names of its columns [P].
        observations: by stream key, [T+1, ...].
        joints: measured positions by joint, rad, or None where none were recorded.
    """
    if privileged is not None and np.isfinite(privileged[0]).all():
        state: dict[str, NDArray[Any]] = {
            name: privileged[0, column : column + 1]
            for column, name in enumerate(privileged_names)
        }
        return StartState("privileged", content_sha256(state))
    seen = {f"observation/{key}": rows[0] for key, rows in observations.items()}
    measured = {
        f"joint/{name}": np.array([position], dtype=np.float64)
        for name, position in (joints or {}).items()
    }
    return StartState("observation", content_sha256(seen | measured))


def measured_joints(
    reader: EpisodeReader, namespace: str, robot: str, at_ns: int
) -> dict[str, float] | None:
    """The joint positions, rad, that the robot's driver measured last at or before a time.

    Only a measurement of the last 0.2 s counts.

    Args:
        reader: of the episode's bag.
        namespace: of the robot's topics, with a slash at its end.
        robot: the contract's, which names the topic and the joints.
        at_ns: nanoseconds.

    Returns:
        None for a robot without a description, and where no such measurement was recorded.
    """
    try:
        described = load_robot(robot)
    except InputError:
        return None
    topic = namespace + described.topics.joint_states
    if topic not in reader.topics or reader.topics[topic].type_name != _JOINT_STATE:
        return None
    newest: tuple[int, NDArray[np.float64]] | None = None
    for raw in reader.raw([topic]):
        if raw.log_time_ns > at_ns + _LATE_NS:
            break  # the rest of a long bag tells nothing more
        try:
            message = decode(raw.type_name, raw.data, topic)
            stamp = stamp_ns(message)
            if not at_ns - _OLDEST_NS <= stamp <= at_ns:
                continue
            # Of two with one stamp the first counts, as everywhere.
            if newest is None or stamp > newest[0]:
                newest = (stamp, named_vector(message, described.joints, topic))
        except InputError:
            continue  # as the live nodes refuse it
    if newest is None:
        return None
    return dict(zip(described.joints, newest[1].tolist(), strict=True))
