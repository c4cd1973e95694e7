"""Joint motion as a bag holds it: what was commanded to the controllers, and what was measured."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.bags.reader import EpisodeReader
from vla_rl_nodes.contract.align import newest_at_or_before
from vla_rl_nodes.contract.decode import named_vector, stamp_ns
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.replay.recording import SAFETY_STATUS, Event
from vla_rl_nodes.robots.kinematics import Kinematics
from vla_rl_nodes.robots.model import Robot

Array = NDArray[np.float64]
Stamps = NDArray[np.int64]

LOST_AFTER = 1.5  # periods between two commands, where the bag is known to lack some
MEASURED_AGE_NS = 50_000_000  # an older joint state says nothing about a takeover


class Window(NamedTuple):
    """The episode in time, ns: from when it was ready, its start, and its end."""

    ready_ns: int
    start_ns: int
    end_ns: int

    def seconds(self, stamps_ns: Stamps) -> Array:
        """Times from the start of the episode, s."""
        return (stamps_ns - self.start_ns) / 1e9


class Motion(NamedTuple):
    """Times [m] from the start of the episode, s; positions [m, n], rad; velocities [m, n],
    rad/s; accelerations [m, n], rad/s^2; the tool point [m, 3] in the base frame, m.

    NaN where there is no velocity or acceleration.
    """

    times_s: Array
    positions: Array
    velocities: Array
    accelerations: Array
    tool: Array


class Commanded(NamedTuple):
    """The commanded motion; commands that are not usable, as time (s) and topic; and how many
    commands the filter says it made that the bag does not hold."""

    motion: Motion
    unusable: list[tuple[float, str]]
    missing: int


def read_measured(
    reader: EpisodeReader, namespace: str, robot: Robot, kinematics: Kinematics, window: Window
) -> tuple[list[int], Motion]:
    """Capture stamps (ns) and motion from the driver's joint states, from ready to the bag's end.

    Joint states that break their own type are left out, as the live nodes do.
    """
    n = len(robot.joints)
    rows: dict[int, tuple[Array, Array]] = {}
    full = namespace + robot.topics.joint_states
    for entry in reader.messages(full) if full in reader.topics else ():
        message = entry.message
        stamp = stamp_ns(message)
        if stamp < window.ready_ns:
            continue
        try:
            position = named_vector(message, robot.joints, full)
        except InputError:
            continue
        velocity = np.full(n, np.nan)
        if len(message.velocity) == len(message.name):
            where = {name: i for i, name in enumerate(message.name)}
            velocity = np.array([message.velocity[where[j]] for j in robot.joints], np.float64)
        rows[stamp] = (position, velocity)
    stamps = sorted(rows)
    positions = np.array([rows[s][0] for s in stamps]).reshape(-1, n)
    velocities = np.array([rows[s][1] for s in stamps]).reshape(-1, n)
    return stamps, Motion(
        window.seconds(np.array(stamps, dtype=np.int64)), positions, velocities,
        np.full_like(positions, np.nan), kinematics.tool_points(positions),
    )  # fmt: skip


def read_commanded(
    reader: EpisodeReader,
    namespace: str,
    robot: Robot,
    kinematics: Kinematics,
    window: Window,
    period_s: float,
    measured: tuple[list[int], Motion],
) -> Commanded:
    """The motion on the controllers' own topics, from ready to the bag's end.

    The first point of each trajectory, or the position array, is the arm's next position, one
    filter period after the last one. Velocities and accelerations are finite differences at that
    nominal period, however late a tick really was, because each tick advances the motion by one
    nominal period. No difference reaches across a time in which the filter was disarmed; instead
    the first command after it is compared with the position that was measured then. Where the
    bag lacks commands that the filter made, none reaches across a gap between their stamps.

    Args:
        reader: the episode's bag.
        namespace: with the slash before and behind, such as ``/fr3/``.
        robot: names the joints and the topics.
        kinematics: gives the tool point.
        window: the episode in time.
        period_s: the filter's nominal period, s.
        measured: what :func:`read_measured` gave.
    """
    rows, unusable = _commands(reader, namespace, robot, window)
    statuses = _statuses(reader, namespace, window)
    stamps = np.array([stamp for stamp, _ in rows], dtype=np.int64)
    positions = np.array([row for _, row in rows]).reshape(-1, len(robot.joints))
    # The filter says that it is disarmed after the last command before it lets go.
    let_go = [s.publish_ns for s in statuses if s.state == "disarmed"]
    series = np.searchsorted(np.array(let_go, dtype=np.int64), stamps, side="left")
    velocities = np.full_like(positions, np.nan)
    accelerations = np.full_like(positions, np.nan)
    same = series[1:] == series[:-1]
    missing = _missing(stamps, statuses)
    if missing:
        # Across a command that the bag lacks, two periods would look like one.
        same &= np.diff(stamps) < LOST_AFTER * period_s * 1e9
    velocities[1:][same] = np.diff(positions, axis=0)[same] / period_s
    accelerations[1:] = np.diff(velocities, axis=0) / period_s
    seen_ns, seen = measured
    for index in np.flatnonzero(np.diff(series, prepend=-1)):
        near = newest_at_or_before(seen_ns, int(stamps[index]), MEASURED_AGE_NS)
        if near is not None:
            velocities[index] = (positions[index] - seen.positions[near]) / period_s
    motion = Motion(
        window.seconds(stamps), positions, velocities, accelerations,
        kinematics.tool_points(positions),
    )  # fmt: skip
    return Commanded(motion, unusable, missing)


def _commands(
    reader: EpisodeReader, namespace: str, robot: Robot, window: Window
) -> tuple[list[tuple[int, Array]], list[tuple[float, str]]]:
    """Publication time and positions of each command in order, and those that are not usable."""
    rows: list[tuple[int, Array]] = []
    unusable: list[tuple[float, str]] = []
    for topic, positions in (
        (robot.topics.trajectory_command, _first_point),
        (robot.topics.position_command, _array),
    ):
        full = f"{namespace}{topic}"
        if topic is None or full not in reader.topics:
            continue
        for entry in reader.messages(full):
            if entry.publish_time_ns < window.ready_ns:
                continue  # of the episode before
            row = positions(entry.message, robot)
            if row is None or not np.isfinite(row).all():
                unusable.append(((entry.publish_time_ns - window.start_ns) / 1e9, topic))
            else:
                rows.append((entry.publish_time_ns, row))
    return sorted(rows, key=lambda row: row[0]), unusable


def _first_point(message: Any, robot: Robot) -> Array | None:
    names = list(message.joint_names)
    if not message.points or sorted(names) != sorted(robot.joints):
        return None
    given = np.asarray(message.points[0].positions, dtype=np.float64)
    if given.shape != (len(names),):
        return None
    return given[[names.index(joint) for joint in robot.joints]]


def _array(message: Any, robot: Robot) -> Array | None:
    given = np.array(message.data, dtype=np.float64)
    return given if given.shape == (len(robot.joints),) else None


class _Status(NamedTuple):
    publish_ns: int
    state: str
    ticks: int | None


def _statuses(reader: EpisodeReader, namespace: str, window: Window) -> list[_Status]:
    """The filter's reports since the episode was ready, in order of publication."""
    found = []
    topic = namespace + SAFETY_STATUS
    for entry in reader.messages(topic) if topic in reader.topics else ():
        if len(entry.message.status) != 1 or entry.publish_time_ns < window.ready_ns:
            continue
        status = entry.message.status[0]
        values = {value.key: value.value for value in status.values}
        event = Event(stamp_ns(entry.message), status.message, "", values)
        ticks = event.whole_number("ticks", SAFETY_STATUS, 64)
        found.append(_Status(entry.publish_time_ns, status.message, ticks))
    return sorted(found, key=lambda status: status.publish_ns)


def _missing(stamps: Stamps, statuses: list[_Status]) -> int:
    """Commands that were made, by the filter's tick count, less those that the bag holds."""
    made = held = 0
    for before, after in pairwise(statuses):
        if before.ticks is None or after.ticks is None:
            continue
        if "disarmed" in (before.state, after.state):
            continue
        made += after.ticks - before.ticks
        first, last = np.searchsorted(stamps, (before.publish_ns, after.publish_ns), side="right")
        held += int(last - first)
    return max(made - held, 0)
