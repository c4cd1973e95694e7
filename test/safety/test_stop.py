"""Stopping paths, and a check that refuses each kind of violation by itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vla_rl_nodes.safety.stop import StopCheck, stopping_path

DT = 0.01
ACCELERATION = np.full(7, 10.0)
VELOCITIES = st.lists(st.floats(-3, 3), min_size=7, max_size=7).map(np.array)


@given(VELOCITIES)
def test_a_stop_brakes_evenly_within_the_limit_and_ends_at_rest(velocity: np.ndarray) -> None:
    q = np.linspace(-1, 1, 7)
    path = np.vstack([q - velocity * DT, q, stopping_path(q, velocity, DT, ACCELERATION)])
    speeds = np.diff(path, axis=0) / DT
    changes = np.diff(speeds, axis=0) / DT
    assert (np.abs(changes) <= 10.0 * (1 + 1e-6) + 1e-9).all()
    np.testing.assert_allclose(speeds[-1], 0.0, atol=1e-12)
    np.testing.assert_allclose(speeds[0], velocity, atol=1e-9)
    # All joints keep their proportions: the speeds stay on one line.
    for speed in speeds[1:]:
        np.testing.assert_allclose(np.outer(speed, velocity), np.outer(velocity, speed), atol=1e-9)
    # No longer than the slowest joint needs, but for the tick's rounding.
    assert len(path) - 2 <= np.abs(velocity).max() / (10.0 * DT) + 1


def test_an_arm_at_rest_stays_where_it_is() -> None:
    q = np.linspace(-1, 1, 7)
    np.testing.assert_array_equal(stopping_path(q, np.zeros(7), DT, ACCELERATION), q[None])


@pytest.fixture(scope="module")
def parts(new_rig: Any) -> tuple[Any, StopCheck]:
    return new_rig, StopCheck(new_rig.robot, new_rig.kinematics, new_rig.limits, DT)


def verified(parts: tuple[Any, StopCheck], q: np.ndarray, velocity: np.ndarray) -> Any:
    """Whether the stop from a velocity reached at ``q`` is verified."""
    rig, check = parts
    path = stopping_path(q, velocity, DT, ACCELERATION)
    return check.verified(q, velocity, rig.kinematics.fk(q).position, path)


@settings(max_examples=50, deadline=None)
@given(VELOCITIES)
def test_a_slow_stop_in_the_middle_is_verified_with_its_tool_points(
    new_rig: Any, velocity: np.ndarray
) -> None:
    check = StopCheck(new_rig.robot, new_rig.kinematics, new_rig.limits, DT)
    q = new_rig.at(new_rig, 0.48, 0.0, 0.3)
    stop = verified((new_rig, check), q, 0.2 * velocity)
    assert stop is not None
    np.testing.assert_allclose(stop.points[-1], new_rig.kinematics.fk(stop.path[-1]).position)


def test_each_violation_alone_is_refused(parts: tuple[Any, StopCheck]) -> None:
    rig, check = parts
    q = rig.at(rig, 0.48, 0.0, 0.3)
    point = rig.kinematics.fk(q).position
    rest = np.zeros(7)
    nudge = np.eye(7)[0]
    assert check.verified(q, rest, point, q[None]) is not None
    # Acceleration: 11 rad/s^2 in the first tick, then an allowed stop.
    fast = q + 0.11 * DT * nudge
    assert check.verified(q, rest, point, np.stack([fast, fast + 0.03 * DT * nudge])) is None
    # Not at rest at the end.
    assert check.verified(q, 0.05 * nudge, point, q[None] + 0.05 * DT * nudge) is None
    # Velocity: above 0.6 of 2.62 rad/s in a stop that brakes as it must.
    assert verified(parts, q, 1.50 * nudge) is not None
    assert verified(parts, q, 1.70 * nudge) is None
    # Workspace: from 5 mm above the floor, 0.3 rad/s down is too fast, up is not.
    low = rig.at(rig, 0.48, 0.0, 0.017)
    down = np.linalg.pinv(rig.kinematics.jacobian(low)) @ [0, 0, -1.0, 0, 0, 0]
    down = 0.8 * down / np.abs(down).max()
    assert verified(parts, low, down) is None
    assert verified(parts, low, -down) is not None


def test_a_joint_near_its_limit_must_be_slow(parts: tuple[Any, StopCheck]) -> None:
    rig, check = parts
    q = rig.at(rig, 0.48, 0.0, 0.3)
    q[6] = rig.robot.position_max[6] - 0.05
    last = np.eye(7)[6]
    allowed = 0.6 * rig.robot.velocity_bounds(q)[1][6]
    assert 0.0 < allowed < 1.0
    assert verified(parts, q, 0.8 * allowed * last) is not None
    assert verified(parts, q, 1.5 * allowed * last) is None
    assert verified(parts, q, -1.0 * last) is not None
    # And a path beyond the limit is refused whatever its speed.
    out = q.copy()
    out[6] = rig.robot.position_max[6] + 1e-6
    assert check.verified(out, np.zeros(7), rig.kinematics.fk(out).position, out[None]) is None


def test_outside_the_box_a_stop_may_only_come_back(parts: tuple[Any, StopCheck]) -> None:
    rig, _ = parts
    q = rig.at(rig, 0.48, 0.40, 0.3)
    inward = np.linalg.pinv(rig.kinematics.jacobian(q)) @ [0, -1.0, 0, 0, 0, 0]
    inward = 0.4 * inward / np.abs(inward).max()
    assert verified(parts, q, inward) is not None
    assert verified(parts, q, -inward) is None
