"""Injected violations are found and counted, one by one; clean motion gives none."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from vla_rl_nodes.demo.limit_check import LimitMeasure
from vla_rl_nodes.demo.measure import measure_episode
from vla_rl_nodes.robots.kinematics import Kinematics

from .demo_bag import (
    ARM,
    CONTRACT,
    EVENT,
    JOINT_STATES,
    LIMITS,
    MS,
    ORDER,
    POSITIONS,
    READY_NS,
    ROBOT,
    START_NS,
    TRAJECTORY,
    VECTOR,
    DemoBag,
    Message,
    filter_event,
    smooth,
    trajectory,
    vector,
)

HZ = CONTRACT.rates.filter_hz


def checked(bag: DemoBag, folder: Path) -> LimitMeasure:
    return measure_episode(bag.write(folder), CONTRACT, ROBOT, LIMITS).limits


def plain_count(path: NDArray[np.float64]) -> Counter[str]:
    """Violations of commanded positions, one by one, with the FR3 formula written out."""
    found: Counter[str] = Counter()
    kinematics = Kinematics(ROBOT)
    speeds = [[0.0] * 7]
    for i, row in enumerate(path):
        point = kinematics.fk(row).position
        for k in range(3):
            box = (LIMITS.workspace.x, LIMITS.workspace.y, LIMITS.workspace.z)[k]
            assert LIMITS.workspace is not None
            found["commanded workspace"] += not box[0] - 0.0021 < point[k] < box[1] + 0.0021
        if i:
            speeds.append([(row[j] - path[i - 1][j]) * HZ for j in range(7)])
        for j, axis in enumerate(ROBOT.axes):
            low, high = axis.position
            found["commanded position"] += not low <= row[j] <= high
            margin = axis.velocity_margin
            assert margin is not None
            room = high - row[j] if speeds[i][j] > 0 else row[j] - low
            free = -margin.offset + (2 * margin.deceleration * max(room, 0.0)) ** 0.5
            bound = min(max(free, 0.0), axis.velocity)
            found["commanded velocity"] += abs(speeds[i][j]) > bound + 1e-7
            if i > 1:
                change = abs(speeds[i][j] - speeds[i - 1][j]) * HZ
                found["commanded acceleration"] += change > axis.acceleration + 1e-5
            if i > 2:
                turn = speeds[i][j] - 2 * speeds[i - 1][j] + speeds[i - 2][j]
                found["commanded jerk"] += abs(turn) * HZ**2 > axis.jerk + 1e-3
    return Counter({key: count for key, count in found.items() if count})


def test_clean_motion_violates_nothing(tmp_path: Path) -> None:
    bag = DemoBag()
    limits = checked(bag, tmp_path)
    assert limits.violations == () and limits.counts == {}
    # The first message begins with the two knots before its own, the last one ends at rest.
    assert bag.commands is not None
    np.testing.assert_array_equal(limits.commanded.positions[2:-1], bag.commands)
    speeds = np.gradient(bag.commands, 0.01, axis=0)[1:-1]
    np.testing.assert_allclose(limits.commanded.velocities[3:-2], speeds, atol=1e-12)
    assert limits.missing == 0
    assert 0.1 < limits.peak_use("acceleration").max() < 0.5
    assert 1e-3 < limits.peak_use("jerk").max() < 0.5


def test_clean_positions_violate_nothing(tmp_path: Path) -> None:
    bag = DemoBag(command_topic=POSITIONS)
    limits = checked(bag, tmp_path)
    assert limits.violations == () and limits.counts == {}
    assert bag.commands is not None and plain_count(bag.commands) == {}
    np.testing.assert_array_equal(limits.commanded.positions, bag.commands)
    np.testing.assert_allclose(
        limits.commanded.velocities[1:], np.diff(bag.commands, axis=0) * HZ, atol=1e-12
    )


def test_use_of_a_limit_is_the_share_of_it(tmp_path: Path) -> None:
    bag = DemoBag()
    limits = checked(bag, tmp_path)
    assert bag.commands is not None
    speed = np.abs(np.gradient(bag.commands, 0.01, axis=0)[1:-1]).max(axis=0)
    # Far from every position limit, where the velocity limits do not depend on the position.
    np.testing.assert_allclose(limits.peak_use("velocity")[6], speed[6] / 5.26, rtol=1e-9)
    middle, half = (0.4398 + 4.6216) / 2, (4.6216 - 0.4398) / 2
    furthest = np.abs(bag.commands[:, 5] - middle).max() / half
    np.testing.assert_allclose(limits.peak_use("position")[5], furthest, rtol=1e-12)


def test_a_jump_of_commanded_positions_is_found(tmp_path: Path) -> None:
    path = smooth(135)
    path[70:, 2] += 0.03  # 3 rad/s for one tick, and 300 rad/s^2 into and out of it
    limits = checked(DemoBag(commands=path, command_topic=POSITIONS), tmp_path)
    commanded = {k: n for k, n in limits.counts.items() if k.startswith("commanded")}
    assert commanded == {
        "commanded velocity": 1, "commanded acceleration": 2, "commanded jerk": 3,
    }  # fmt: skip
    assert commanded == plain_count(path)
    found = next(v for v in limits.violations if v[:2] == ("commanded", "velocity"))
    assert found.name == "fr3_joint3" and found.unit == "rad/s"
    assert found.value == pytest.approx((path[70, 2] - path[69, 2]) * HZ)
    assert found.limit == 2.62
    assert found.time_s == pytest.approx((READY_NS + 702 * MS - START_NS) / 1e9)


def knots(samples: int) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """A swing as knots: positions, velocities and accelerations [samples, 7]."""
    q = smooth(samples)
    v = np.gradient(q, 0.01, axis=0)
    v[[0, -1]] = 0.0
    return q, v, np.gradient(v, 0.01, axis=0)


def test_what_happens_between_two_knots_is_held_to_the_limits(tmp_path: Path) -> None:
    """Knots that stand still, but too far apart for the time between them."""
    q = np.repeat(ROBOT.home[None], 135, axis=0)
    q[70:, 2] += 0.02  # on average 2 rad/s, at its middle 15/8 of that
    still = np.zeros_like(q)
    limits = checked(DemoBag(commands=q, speeds=still, accelerations=still), tmp_path)
    commanded = {k: n for k, n in limits.counts.items() if k.startswith("commanded")}
    assert commanded == {
        "commanded velocity": 1, "commanded acceleration": 1, "commanded jerk": 1,
    }  # fmt: skip
    by = {v.quantity: v for v in limits.violations if v.source == "commanded"}
    assert {v.name for v in by.values()} == {"fr3_joint3"}
    # At 0.4 of the way: 30 s^2 (1-s)^2 of the mean velocity.
    assert by["velocity"].value == pytest.approx(30 * 0.4**2 * 0.6**2 * 2.0)
    assert by["jerk"].limit == 5000.0
    # Its knot is due two periods after its tick.
    assert by["velocity"].time_s == pytest.approx((READY_NS + 722 * MS - START_NS) / 1e9)


@pytest.mark.parametrize(
    ("column", "quantity", "beyond"), [(1, "velocity", 2.7), (2, "acceleration", -10.5)]
)
def test_a_knot_beyond_a_limit_is_found(
    tmp_path: Path, column: int, quantity: str, beyond: float
) -> None:
    path = knots(135)
    path[column][60, 0] = beyond
    limits = checked(DemoBag(commands=path[0], speeds=path[1], accelerations=path[2]), tmp_path)
    found = [v for v in limits.violations if v.quantity == quantity and v.source == "commanded"]
    assert any(v.value == pytest.approx(beyond) for v in found)
    assert {v.name for v in found} == {"fr3_joint1"}


def test_a_leap_where_one_message_takes_over_is_found(tmp_path: Path) -> None:
    """Message 71 repeats the knots before its own, but not those that message 70 gave."""
    bag = DemoBag()

    def shift(m: Message) -> bool:
        if m.topic == ARM and m.publish_ns >= READY_NS + (2 + 10 * 71) * MS:
            for point in m.body.points:
                point.positions = point.positions + 1e-3 * (np.arange(7) == 4)
        return False

    bag.drop = shift
    found = [v for v in checked(bag, tmp_path).violations if v.quantity == "seam"]
    assert [(v.name, v.unit) for v in found] == [(ROBOT.joints[ORDER[4]], "rad")]
    assert found[0].value == pytest.approx(1e-3)
    assert found[0].time_s == pytest.approx((READY_NS + 712 * MS - START_NS) / 1e9)


@pytest.mark.parametrize(("late_ms", "seams"), [(9, 0), (27, 1)])
def test_a_message_that_is_late_by_more_than_a_period_leaves_a_seam(
    tmp_path: Path, late_ms: int, seams: int
) -> None:
    bag = DemoBag()

    def delay(m: Message) -> bool:
        at = READY_NS + (2 + 10 * 40) * MS
        if m.topic == ARM and at <= m.publish_ns < at + late_ms * MS:
            m.publish_ns = at + late_ms * MS  # the message itself, and what queued behind it
        return False

    bag.drop = delay
    limits = checked(bag, tmp_path)
    times = {v.time_s for v in limits.violations if v.quantity == "seam"}
    assert len(times) == seams
    # 27 ms: the message is late by 17 ms more than a period, the one behind it by 7 ms.
    assert limits.late == 2 * seams and (limits.leap > 1e-6) == bool(seams)


def test_random_rough_motion_agrees_with_a_plain_count(tmp_path: Path) -> None:
    rng = np.random.default_rng(11)
    path = smooth(135) + np.cumsum(rng.normal(scale=0.006, size=(135, 7)), axis=0)
    path[:, 6] += 1.95  # so near its position limit that its velocity limit is lower
    measured = np.repeat(path[:1], 300, axis=0)
    bag = DemoBag(commands=path, measured=measured, command_topic=POSITIONS)
    expected = plain_count(path)
    assert expected["commanded velocity"] > 5 and expected["commanded acceleration"] > 100
    assert Counter(checked(bag, tmp_path).counts) == expected


def test_a_position_beyond_its_limit_is_found_commanded_and_measured(tmp_path: Path) -> None:
    pose = ROBOT.home.copy()
    pose[6] = 3.0608  # 0.01 rad beyond
    bag = DemoBag(commands=np.repeat(pose[None], 135, axis=0))
    limits = checked(bag, tmp_path)
    assert bag.measured is not None
    assert limits.counts == {"commanded position": 138, "measured position": len(bag.measured)}
    assert {v.name for v in limits.violations} == {"fr3_joint7"}
    assert all(v.value == 3.0608 and v.limit == 3.0508 for v in limits.violations)


@pytest.mark.parametrize(("reach", "count"), [(-0.0015, 0), (-0.0025, 138)])
def test_the_tool_may_leave_the_box_by_its_tolerance_only(
    tmp_path: Path, reach: float, count: int
) -> None:
    kinematics = Kinematics(ROBOT)
    home = kinematics.fk(ROBOT.home)
    assert LIMITS.workspace is not None
    target = np.array([LIMITS.workspace.x[0] + reach, 0.05, 0.4])
    result = kinematics.solve(ROBOT.home, target, home.rotation, iterations=200)
    assert result.converged
    limits = checked(DemoBag(commands=np.repeat(result.q[None], 135, axis=0)), tmp_path)
    assert limits.counts == ({"commanded workspace": count} if count else {})
    assert {v.name for v in limits.violations} <= {"tool x"}


def test_a_measured_speed_beyond_its_limit_is_found(tmp_path: Path) -> None:
    bag = DemoBag(measured=np.repeat(smooth(135)[:1], 400, axis=0))
    speed = np.zeros((400, 7))
    speed[50:53, 4] = (5.25, -5.27, 5.3)  # joint 5 may move at 5.26 rad/s
    bag.measured_speed = speed
    limits = checked(bag, tmp_path)
    assert limits.counts == {"measured velocity": 2}
    assert [v.value for v in limits.violations] == [-5.27, 5.3]
    assert {v.name for v in limits.violations} == {"fr3_joint5"}


def test_a_leap_at_the_takeover_is_found(tmp_path: Path) -> None:
    path = smooth(135)
    measured = np.repeat(path[:1], 400, axis=0)
    measured[:, 1] -= 0.05  # the arm is not where the first command is
    limits = checked(DemoBag(commands=path, measured=measured), tmp_path)
    assert limits.counts == {"commanded velocity": 1}
    assert limits.violations[0].name == "fr3_joint2"
    assert limits.violations[0].value == pytest.approx(5.0)


@pytest.mark.parametrize("topic", [ARM, POSITIONS])
def test_nothing_reaches_across_a_time_when_the_filter_was_disarmed(
    tmp_path: Path, topic: str
) -> None:
    path, v, a = knots(135)
    path[60:, [0, 6]] += 0.4  # another place, taken over there
    found = plain_count(path)
    assert found["commanded velocity"] == 2 and found["commanded acceleration"] == 4
    v[57:63] = a[57:63] = 0.0  # it stood still meanwhile
    path[57:60], path[60:63] = path[57], path[62]
    at = READY_NS + (2 + 10 * 59) * MS  # together with the last command before it lets go
    bag = DemoBag(commands=path, speeds=v, accelerations=a, command_topic=topic, extra=[
        Message("safety/status", EVENT, at, filter_event(at, "disarmed", 559))],
        drop=lambda m: begins_anew(m, READY_NS + (2 + 10 * 60) * MS))  # fmt: skip
    taken = np.clip((4 * np.arange(400) - 2) // 10, 0, 134)
    bag.measured = path[np.where((taken == 59) & (4 * np.arange(400) > 594), 60, taken)]
    bag.measured_speed = np.zeros_like(bag.measured)
    limits = checked(bag, tmp_path)
    far = {k: n for k, n in limits.counts.items() if "velocity" in k or "seam" in k}
    assert far == {}
    first = int(np.flatnonzero(np.diff(limits.commanded.positions[:, 0]) > 0.3)[0]) + 1
    assert np.isnan(limits.commanded.accelerations[first]).all()


def begins_anew(m: Message, at: int) -> bool:
    """The first message after the takeover knows no knots from before it."""
    if m.topic == ARM and at <= m.publish_ns < at + 20 * MS:
        mine = m.body.points[2].positions
        for point in m.body.points[: 2 if m.publish_ns == at else 1]:
            point.positions = mine.copy()
    return False


def test_what_came_before_ready_belongs_to_another_episode(tmp_path: Path) -> None:
    bag = DemoBag()
    beyond = ROBOT.home + 5.0
    before = READY_NS - 30 * MS
    bag.extra = [
        Message(ARM, TRAJECTORY, before, trajectory(before, list(ROBOT.joints), beyond[None])),
        Message(JOINT_STATES, VECTOR, before, vector(before, list(ROBOT.joints), beyond)),
    ]
    limits = checked(bag, tmp_path)
    assert limits.counts == {}
    assert len(limits.commanded.times_s) == 138


def test_commands_that_are_not_usable_are_violations(tmp_path: Path) -> None:
    names = list(ROBOT.joints)
    still, two = np.zeros((1, 7)), np.stack([ROBOT.home] * 2)
    bodies = [
        trajectory(1, names, np.full((1, 7), np.nan), still, still),
        trajectory(2, [*names[:6], "elbow"], ROBOT.home[None], still, still),
        trajectory(3, names, ROBOT.home[None, :5], still, still),
        trajectory(4, names, np.zeros((0, 7))),
        trajectory(5, names, ROBOT.home[None]),  # no velocities
        trajectory(6, names, ROBOT.home[None], still),  # no accelerations
        trajectory(7, names, ROBOT.home[None], still + 0.1, still),  # not at rest at its end
        trajectory(8, names, two, 0 * two, 0 * two, [5, 5]),  # the times do not rise
    ]
    bag = DemoBag()
    at = START_NS + 2 * MS + MS // 4
    bag.extra = [Message(ARM, TRAJECTORY, at + i * MS, body) for i, body in enumerate(bodies)]
    limits = checked(bag, tmp_path)
    assert limits.counts == {"commanded message": 8}
    assert limits.violations[0].value is None and limits.violations[0].name == ARM
    assert len(limits.commanded.times_s) == 138


def test_commands_that_the_bag_lost_are_counted(tmp_path: Path) -> None:
    lost = {READY_NS + (2 + 10 * i) * MS for i in (31, 32, 77)}
    bag = DemoBag(drop=lambda m: m.topic == ARM and m.publish_ns in lost)
    assert checked(bag, tmp_path).missing == 3


def test_time_to_rest(tmp_path: Path) -> None:
    bag = DemoBag(measured=np.repeat(smooth(135)[:1], 420, axis=0))
    speed = np.zeros((420, 7))
    at_end = (bag.end_ns - READY_NS) / MS / 4
    last = int(at_end) + 40
    speed[:last, 3] = -0.5
    speed[last + 10, 0] = 0.03  # moves again for a moment
    speed[last + 11 :, 0] = 0.019
    bag.measured_speed = speed
    expected = (4 * (last + 11) - 4 * at_end) / 1000
    assert checked(bag, tmp_path).rest_s == pytest.approx(expected)
    speed[-1, 2] = 0.02
    assert checked(DemoBag(seed=4, measured=bag.measured, measured_speed=speed),
                   tmp_path).rest_s is None  # fmt: skip


def test_without_measured_speeds_there_is_no_time_to_rest(tmp_path: Path) -> None:
    bag = DemoBag()

    def silent(m: Message) -> bool:
        if m.topic == JOINT_STATES:
            m.body.velocity = np.zeros(0)
        return False

    bag.drop = silent
    limits = checked(bag, tmp_path)
    assert limits.rest_s is None and limits.counts == {}
