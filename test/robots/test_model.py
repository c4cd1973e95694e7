"""The robots' numbers are the published ones, and the velocity margins follow the formula."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla_rl_nodes.robots.load import load_robot

FR3 = load_robot("fr3")
PUBLISHED_MIN = [-2.9007, -1.8361, -2.9007, -3.0770, -2.8763, 0.4398, -3.0508]
PUBLISHED_MAX = [2.9007, 1.8361, 2.9007, -0.1169, 2.8763, 4.6216, 3.0508]
OFFSET = [0.6599, 0.2517, 0.2, 0.3533, 0.5757, 0.4878, 0.4628]
DECELERATION = [6.0, 2.585, 3.5, 4.0, 17.0, 5.5, 17.0]
SPEED = [2.62, 2.62, 2.62, 2.62, 5.26, 4.18, 5.26]


def test_fr3_has_the_published_limits() -> None:
    np.testing.assert_array_equal(FR3.position_min, PUBLISHED_MIN)
    np.testing.assert_array_equal(FR3.position_max, PUBLISHED_MAX)
    np.testing.assert_array_equal(FR3.velocity_max, SPEED)
    np.testing.assert_array_equal(FR3.acceleration_max, [10.0] * 7)
    np.testing.assert_array_equal(FR3.jerk_max, [5000.0] * 7)
    np.testing.assert_array_equal(FR3.effort_max, [87.0] * 4 + [12.0] * 3)


def test_panda_has_the_published_limits() -> None:
    panda = load_robot("panda")
    np.testing.assert_array_equal(
        panda.position_min, [-2.8973, -1.7628, -2.8973, -3.0718, -2.8973, -0.0175, -2.8973]
    )
    np.testing.assert_array_equal(
        panda.position_max, [2.8973, 1.7628, 2.8973, -0.0698, 2.8973, 3.7525, 2.8973]
    )
    np.testing.assert_array_equal(panda.velocity_max, [2.175] * 4 + [2.61] * 3)
    np.testing.assert_array_equal(
        panda.acceleration_max, [15.0, 7.5, 10.0, 12.5, 15.0, 20.0, 20.0]
    )
    np.testing.assert_array_equal(panda.jerk_max, 500.0 * panda.acceleration_max)
    np.testing.assert_array_equal(panda.effort_max, [87.0] * 4 + [12.0] * 3)


def test_ur5e_and_go2_have_the_published_limits() -> None:
    ur5e, go2 = load_robot("ur5e"), load_robot("go2")
    np.testing.assert_allclose(ur5e.position_max / np.pi, [2, 2, 1, 2, 2, 2])
    np.testing.assert_allclose(ur5e.velocity_max, np.pi)
    np.testing.assert_array_equal(ur5e.effort_max, [150, 150, 150, 28, 28, 28])
    assert go2.floating_base and not ur5e.floating_base
    assert go2.joints[:3] == ("FL_hip_joint", "FL_thigh_joint", "FL_calf_joint")
    assert [name[:2] for name in go2.joints[::3]] == ["FL", "FR", "RL", "RR"]
    np.testing.assert_array_equal(go2.velocity_max, [30.1, 30.1, 15.7] * 4)
    np.testing.assert_array_equal(go2.position_max[[1, 7]], [3.4907, 4.5379])


@given(st.lists(st.floats(0.0, 1.0), min_size=7, max_size=7))
def test_velocity_bounds_follow_the_formula_joint_by_joint(shares: list[float]) -> None:
    low, high = np.array(PUBLISHED_MIN), np.array(PUBLISHED_MAX)
    q = np.clip(low + np.array(shares) * (high - low), low, high)
    lower, upper = FR3.velocity_bounds(q)
    for i in range(7):
        to_high = -OFFSET[i] + (2 * DECELERATION[i] * max(0.0, high[i] - q[i])) ** 0.5
        to_low = -OFFSET[i] + (2 * DECELERATION[i] * max(0.0, q[i] - low[i])) ** 0.5
        assert upper[i] == pytest.approx(min(SPEED[i], max(0.0, to_high)), abs=1e-12)
        assert lower[i] == pytest.approx(-min(SPEED[i], max(0.0, to_low)), abs=1e-12)


def test_velocity_bounds_take_paths_and_leave_room_to_come_back() -> None:
    path = np.stack([FR3.position_min, FR3.home, FR3.position_max])
    lower, upper = FR3.velocity_bounds(path)
    assert lower.shape == upper.shape == (3, 7)
    np.testing.assert_array_equal(upper[2], 0.0)
    np.testing.assert_array_equal(lower[2] < -1.0, True)  # away from the limit it may move
    np.testing.assert_array_equal(lower[0], 0.0)
    np.testing.assert_array_equal(upper[1], SPEED)


def test_robots_without_margins_have_constant_bounds() -> None:
    for robot in (load_robot("ur5e"), load_robot("panda")):
        for q in (robot.position_min, robot.home, robot.position_max):
            lower, upper = robot.velocity_bounds(q)
            np.testing.assert_array_equal(upper, robot.velocity_max)
            np.testing.assert_array_equal(lower, -robot.velocity_max)
