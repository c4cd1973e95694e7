"""The controllers behave as ros2_control's: interpolate, then hold the last command for ever."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.sim.controllers import GripperController, JointController

START = np.array([0.1, -0.2, 0.3])
FIRST = np.array([0.5, 0.0, 0.3])
SECOND = np.array([0.7, -0.4, 0.1])


@pytest.fixture
def controller() -> JointController:
    made = JointController(3)
    made.initialise(START)
    return made


def test_position_command_is_held_for_ever(controller: JointController) -> None:
    controller.command_positions(FIRST)
    for time in (0.0, 0.3, 1e6):
        np.testing.assert_array_equal(controller.sample(time), FIRST)


def test_trajectory_interpolates_from_the_present_command(controller: JointController) -> None:
    controller.command_trajectory([(0.2, FIRST), (0.6, SECOND)], start_s=5.0, now_s=5.0)
    np.testing.assert_allclose(controller.sample(5.0), START)
    np.testing.assert_allclose(controller.sample(5.05), 0.75 * START + 0.25 * FIRST)
    np.testing.assert_allclose(controller.sample(5.2), FIRST)
    np.testing.assert_allclose(controller.sample(5.3), 0.75 * FIRST + 0.25 * SECOND)
    np.testing.assert_allclose(controller.sample(5.6), SECOND)


def test_trajectory_holds_its_last_point_for_ever(controller: JointController) -> None:
    controller.command_trajectory([(0.2, FIRST), (0.6, SECOND)], start_s=5.0, now_s=5.0)
    np.testing.assert_array_equal(controller.sample(1e6), SECOND)


def test_new_trajectory_starts_where_the_old_one_is(controller: JointController) -> None:
    controller.command_trajectory([(1.0, FIRST)], start_s=0.0, now_s=0.0)
    controller.command_trajectory([(0.5, SECOND)], start_s=0.5, now_s=0.5)
    halfway = 0.5 * START + 0.5 * FIRST
    np.testing.assert_allclose(controller.sample(0.5), halfway)
    np.testing.assert_allclose(controller.sample(0.75), 0.5 * halfway + 0.5 * SECOND)


def test_late_trajectory_is_entered_at_the_present_time(controller: JointController) -> None:
    controller.command_trajectory([(0.0, FIRST), (1.0, SECOND)], start_s=2.0, now_s=2.5)
    np.testing.assert_allclose(controller.sample(2.5), 0.5 * FIRST + 0.5 * SECOND)


def test_trajectory_in_the_future_is_approached_until_its_first_point(
    controller: JointController,
) -> None:
    controller.command_trajectory([(0.0, FIRST), (1.0, SECOND)], start_s=3.0, now_s=1.0)
    np.testing.assert_allclose(controller.sample(2.0), 0.5 * START + 0.5 * FIRST)


@pytest.mark.parametrize(
    ("points", "problem"),
    [
        ([], "no point"),
        ([(0.1, FIRST), (0.1, SECOND)], "do not increase"),
        ([(0.2, FIRST), (0.1, SECOND)], "do not increase"),
        ([(-0.1, FIRST)], "negative"),
        ([(np.inf, FIRST)], "not finite"),
        ([(0.1, FIRST[:2])], "shape"),
        ([(0.1, FIRST), (0.2, np.array([0.0, np.nan, 0.0]))], "not finite"),
    ],
)
def test_bad_trajectory_leaves_the_old_command(
    controller: JointController, points: list[tuple[float, NDArray[np.float64]]], problem: str
) -> None:
    with pytest.raises(InputError, match=problem):
        controller.command_trajectory(points, start_s=0.0, now_s=0.0)
    np.testing.assert_array_equal(controller.sample(0.1), START)


@pytest.mark.parametrize("bad", [FIRST[:2], np.array([0.0, np.inf, 0.0]), FIRST[None]])
def test_bad_positions_leave_the_old_command(
    controller: JointController, bad: NDArray[np.float64]
) -> None:
    with pytest.raises(InputError):
        controller.command_positions(bad)
    np.testing.assert_array_equal(controller.sample(0.1), START)


def test_caller_cannot_change_a_held_command(controller: JointController) -> None:
    mine = FIRST.copy()
    controller.command_positions(mine)
    mine[:] = 9.0
    controller.sample(0.0)[:] = 9.0
    np.testing.assert_array_equal(controller.sample(1.0), FIRST)


@given(
    st.lists(st.floats(0.01, 1.0), min_size=1, max_size=6),
    st.lists(st.floats(-2.0, 2.0), min_size=6, max_size=6),
    st.floats(0.0, 10.0),
)
def test_trajectory_stays_between_its_points(
    gaps: list[float], heights: list[float], at: float
) -> None:
    controller = JointController(1)
    controller.initialise(np.array([0.5]))
    times = np.cumsum(gaps)
    points = [(float(t), np.array([h])) for t, h in zip(times, heights, strict=False)]
    controller.command_trajectory(points, start_s=0.0, now_s=0.0)
    corners = [0.5] + [float(q[0]) for _, q in points]
    value = float(controller.sample(at)[0])
    assert min(corners) - 1e-12 <= value <= max(corners) + 1e-12


def test_gripper_moves_at_its_speed() -> None:
    gripper = GripperController(0.08, speed=0.1, lead=0.05)
    gripper.initialise(0.08)
    gripper.command(0.02)
    width = 0.08
    for _ in range(100):
        width = gripper.advance(width, 0.002)
    assert width == pytest.approx(0.06)
    for _ in range(1000):
        width = gripper.advance(width, 0.002)
    assert width == pytest.approx(0.02)


def test_gripper_presses_with_its_lead_and_lets_go_at_once() -> None:
    gripper = GripperController(0.08, speed=0.1, lead=0.01)
    gripper.initialise(0.08)
    gripper.command(0.0)
    blocked = 0.04
    for _ in range(2000):
        setpoint = gripper.advance(blocked, 0.002)
    assert setpoint == pytest.approx(blocked - 0.01)
    gripper.command(0.08)
    assert gripper.advance(blocked, 0.002) == pytest.approx(blocked + 0.1 * 0.002)


def test_gripper_clips_to_its_range_and_refuses_nan() -> None:
    gripper = GripperController(0.08, speed=0.1, lead=0.01)
    gripper.initialise(0.03)
    gripper.command(0.5)
    assert gripper.target == 0.08
    gripper.command(-0.5)
    assert gripper.target == 0.0
    with pytest.raises(InputError, match="not finite"):
        gripper.command(float("nan"))
    assert gripper.target == 0.0
