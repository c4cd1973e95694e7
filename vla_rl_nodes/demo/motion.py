"""Joint motion as a bag holds it: what was commanded to the controllers, and what was measured."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.bags.reader import EpisodeReader
from vla_rl_nodes.contract.align import newest_at_or_before
from vla_rl_nodes.contract.decode import named_vector, stamp_ns
from vla_rl_nodes.demo.curve import (
    SAMPLES,
    Knots,
    Trajectory,
    follow,
    read_trajectory,
    sample,
)
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
    rad/s; accelerations [m, n], rad/s^2; jerks [m, n], rad/s^3; the tool point [m, 3] in the
    base frame, m.

    NaN where there is no velocity, acceleration or jerk. As ``Commanded.inside`` it has an axis
    more, [m, s, n]: samples of the time that leads to each row.
    """

    times_s: Array
    positions: Array
    velocities: Array
    accelerations: Array
    jerks: Array
    tool: Array


class Commanded(NamedTuple):
    """The commanded motion, one row for each position that was commanded; the same inside each
    step; leaps where one message took over from another: times (s) and rad [n]; commands that
    are not usable, as time (s) and topic; how many commands the filter says it made that the bag
    does not hold; and how many came more than a period late."""

    motion: Motion
    inside: Motion
    leaps: list[tuple[float, Array]]
    unusable: list[tuple[float, str]]
    missing: int
    late: int


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
        np.full_like(positions, np.nan), np.full_like(positions, np.nan),
        kinematics.tool_points(positions),
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

    Trajectories are followed as their controller does: each from when it takes over from the one
    before, on the quintics between its points. A position array is the arm's next position, one
    filter period after the last one; its velocities, accelerations and jerks are finite
    differences at that nominal period, however late a tick really was, because each tick
    advances the motion by one nominal period.

    Nothing is computed across a time in which the filter was disarmed; instead the first command
    after it is compared with the position that was measured then. Where the bag lacks commands
    that the filter made, nothing is computed across a gap between their stamps.

    Args:
        reader: the episode's bag.
        namespace: with the slash before and behind, such as ``/fr3/``.
        robot: names the joints and the topics.
        kinematics: gives the tool point.
        window: the episode in time.
        period_s: the filter's nominal period, s.
        measured: what :func:`read_measured` gave.
    """
    trajectories, arrays, unusable = _commands(reader, namespace, robot, window)
    statuses = _statuses(reader, namespace, window)
    stamps = sorted([t.publish_ns for t in trajectories] + [stamp for stamp, _ in arrays])
    missing = _missing(np.array(stamps, dtype=np.int64), statuses)
    # The filter says that it is disarmed after the last command before it lets go.
    let_go = np.array([s.publish_ns for s in statuses if s.state == "disarmed"], dtype=np.int64)
    gap_ns = LOST_AFTER * period_s * 1e9 if missing else np.inf
    parts: list[tuple[Motion, Motion]] = []
    leaps: list[tuple[float, Array]] = []

    def taken(publish_ns: int, begins: bool) -> Array | None:
        """Where the arm was measured when the filter took it over."""
        near = newest_at_or_before(measured[0], publish_ns, MEASURED_AGE_NS)
        return measured[1].positions[near] if begins and near is not None else None

    for rows, begins in _runs([t.publish_ns for t in trajectories], let_go, gap_ns):
        knots, seams = follow(trajectories[rows])
        leaps += [((s.time_ns - window.start_ns) / 1e9, s.leap) for s in seams]
        measured_q = taken(trajectories[rows.start].publish_ns, begins)
        parts.append(_along(knots, window, kinematics, measured_q, period_s))
    for rows, begins in _runs([stamp for stamp, _ in arrays], let_go, gap_ns):
        measured_q = taken(arrays[rows.start][0], begins)
        parts.append(_differences(arrays[rows], window, kinematics, measured_q, period_s))
    parts.sort(key=lambda part: float(part[0].times_s[0]))
    motion, inside = (
        Motion(*(np.concatenate(column) for column in zip(*column_of, strict=True)))
        for column_of in (zip(*parts, strict=True) if parts else _none(len(robot.joints)))
    )
    late = sum(t.publish_ns - int(t.knots.times_ns[0]) > period_s * 1e9 for t in trajectories)
    return Commanded(motion, inside, leaps, unusable, missing, late)


def _none(n: int) -> list[list[Motion]]:
    rows = np.zeros((0, n))
    empty = Motion(np.zeros(0), rows, rows, rows, rows, np.zeros((0, 3)))
    return [[empty], [Motion(*(column[:, None] for column in empty))]]


def _runs(stamps_ns: list[int], let_go: Stamps, gap_ns: float) -> Iterator[tuple[slice, bool]]:
    """Commands without a gap between them, and whether the filter took over before the first."""
    first, begins = 0, True
    for index, (last, stamp) in enumerate(pairwise(stamps_ns), start=1):
        took_over = bool(((let_go >= last) & (let_go < stamp)).any())
        if took_over or stamp - last >= gap_ns:
            yield slice(first, index), begins
            first, begins = index, took_over
    if stamps_ns:
        yield slice(first, len(stamps_ns)), begins


def _along(
    knots: Knots, window: Window, kinematics: Kinematics, taken: Array | None, period_s: float
) -> tuple[Motion, Motion]:
    """The motion at a curve's knots, and at samples of the segments that lead to them."""
    shares = np.linspace(0.0, 1.0, SAMPLES + 1)[1:]
    samples = sample(knots, shares)
    none = np.full((1, SAMPLES, knots.q.shape[1]), np.nan)
    begin = knots.v[0] if taken is None else (knots.q[0] - taken) / period_s
    q = np.concatenate([np.broadcast_to(knots.q[0], none.shape), samples.q])
    v = np.concatenate([np.broadcast_to(begin, none.shape), samples.v])
    a, jerk = np.concatenate([none, samples.a]), np.concatenate([none, samples.jerk])
    q[:, -1], v[1:, -1], a[1:, -1] = knots.q, knots.v[1:], knots.a[1:]  # without rounding
    times = window.seconds(knots.times_ns)
    tool = kinematics.tool_points(q.reshape(-1, q.shape[2])).reshape(*q.shape[:2], 3)
    fastest = np.nanargmax(np.where(np.isnan(jerk), -1.0, np.abs(jerk)), axis=1)
    largest = np.take_along_axis(jerk, fastest[:, None], axis=1)[:, 0]
    return (
        Motion(times, q[:, -1], v[:, -1], a[:, -1], largest, tool[:, -1]),
        Motion(np.repeat(times[:, None], SAMPLES, axis=1), q, v, a, jerk, tool),
    )


def _differences(
    commands: list[tuple[int, Array]],
    window: Window,
    kinematics: Kinematics,
    taken: Array | None,
    period_s: float,
) -> tuple[Motion, Motion]:
    """The motion along positions that were commanded one by one."""
    q = np.array([row for _, row in commands])
    none = np.full((1, q.shape[1]), np.nan)
    velocities = np.concatenate([none, np.diff(q, axis=0) / period_s])
    accelerations = np.concatenate([none, np.diff(velocities, axis=0) / period_s])
    jerks = np.concatenate([none, np.diff(accelerations, axis=0) / period_s])
    if taken is not None:
        velocities[0] = (q[0] - taken) / period_s
    times = window.seconds(np.array([stamp for stamp, _ in commands], dtype=np.int64))
    motion = Motion(times, q, velocities, accelerations, jerks, kinematics.tool_points(q))
    return motion, Motion(*(column[:, None] for column in motion))


def _commands(
    reader: EpisodeReader, namespace: str, robot: Robot, window: Window
) -> tuple[list[Trajectory], list[tuple[int, Array]], list[tuple[float, str]]]:
    """Trajectories, position arrays with their publication time, both in order of publication,
    and commands that are not usable."""
    trajectories: list[Trajectory] = []
    arrays: list[tuple[int, Array]] = []
    unusable: list[tuple[float, str]] = []
    for topic in (robot.topics.trajectory_command, robot.topics.position_command):
        full = f"{namespace}{topic}"
        if topic is None or full not in reader.topics:
            continue
        for entry in reader.messages(full):
            at = entry.publish_time_ns
            if at < window.ready_ns:
                continue  # of the episode before
            if topic == robot.topics.trajectory_command:
                trajectory = read_trajectory(entry.message, at, robot.joints)
                if trajectory is not None:
                    trajectories.append(trajectory)
                    continue
            else:
                row = np.array(entry.message.data, dtype=np.float64)
                if row.shape == (len(robot.joints),) and np.isfinite(row).all():
                    arrays.append((at, row))
                    continue
            unusable.append(((at - window.start_ns) / 1e9, topic))
    trajectories.sort(key=lambda trajectory: trajectory.publish_ns)
    return trajectories, sorted(arrays, key=lambda row: row[0]), unusable


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
