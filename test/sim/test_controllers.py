"""The controllers behave as ros2_control's: interpolate, then hold the last command for ever."""

from __future__ import annotations

from typing import Any, NamedTuple

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


def follow(
    controller: JointController,
    points: list[tuple[float, NDArray[np.float64]]],
    start_s: float,
    now_s: float,
) -> None:
    """Commands points of positions alone."""
    times, positions = [time for time, _ in points], [q for _, q in points]
    controller.command_trajectory(np.array(times), np.array(positions), None, None, start_s, now_s)


def test_trajectory_interpolates_from_the_present_command(controller: JointController) -> None:
    follow(controller, [(0.2, FIRST), (0.6, SECOND)], start_s=5.0, now_s=5.0)
    np.testing.assert_allclose(controller.sample(5.0), START)
    np.testing.assert_allclose(controller.sample(5.05), 0.75 * START + 0.25 * FIRST)
    np.testing.assert_allclose(controller.sample(5.2), FIRST)
    np.testing.assert_allclose(controller.sample(5.3), 0.75 * FIRST + 0.25 * SECOND)
    np.testing.assert_allclose(controller.sample(5.6), SECOND)


def test_trajectory_holds_its_last_point_for_ever(controller: JointController) -> None:
    follow(controller, [(0.2, FIRST), (0.6, SECOND)], start_s=5.0, now_s=5.0)
    np.testing.assert_array_equal(controller.sample(1e6), SECOND)


def test_new_trajectory_starts_where_the_old_one_is(controller: JointController) -> None:
    follow(controller, [(1.0, FIRST)], start_s=0.0, now_s=0.0)
    follow(controller, [(0.5, SECOND)], start_s=0.5, now_s=0.5)
    halfway = 0.5 * START + 0.5 * FIRST
    np.testing.assert_allclose(controller.sample(0.5), halfway)
    np.testing.assert_allclose(controller.sample(0.75), 0.5 * halfway + 0.5 * SECOND)


def test_late_trajectory_is_entered_at_the_present_time(controller: JointController) -> None:
    follow(controller, [(0.0, FIRST), (1.0, SECOND)], start_s=2.0, now_s=2.5)
    np.testing.assert_allclose(controller.sample(2.5), 0.5 * FIRST + 0.5 * SECOND)


def test_trajectory_in_the_future_is_approached_until_its_first_point(
    controller: JointController,
) -> None:
    follow(controller, [(0.0, FIRST), (1.0, SECOND)], start_s=3.0, now_s=1.0)
    np.testing.assert_allclose(controller.sample(2.0), 0.5 * START + 0.5 * FIRST)


class Curve(NamedTuple):
    """Knots a tick apart of a motion whose jerk is constant in each tick, at rest at its end."""

    dt: float
    q: NDArray[np.float64]
    v: NDArray[np.float64]
    a: NDArray[np.float64]
    jerk: NDArray[np.float64]

    def at(self, time: float) -> NDArray[np.float64]:
        """Positions, velocities and accelerations [3, n] at a time, by Taylor's series."""
        k = min(int(time / self.dt), len(self.jerk) - 1)
        t = time - k * self.dt
        q, v, a, j = self.q[k], self.v[k], self.a[k], self.jerk[k]
        return np.stack(
            [q + t * (v + t * (a / 2 + t * j / 6)), v + t * (a + t * j / 2), a + t * j]
        )


@st.composite
def curves(draw: st.DrawFn) -> Curve:
    """Jerks as drawn, then two ticks that bring the velocity and the acceleration to 0."""
    dt = draw(st.sampled_from([0.001, 0.004, 0.01, 0.02]))
    jerk = draw(
        st.lists(st.lists(st.floats(-5e3, 5e3), min_size=2, max_size=2), min_size=1, max_size=20)
    )
    rows = [np.array(row) for row in jerk]
    knots = [np.array(draw(st.lists(st.floats(-3.0, 3.0), min_size=2, max_size=2)))]
    v, a = [np.zeros(2)], [np.zeros(2)]

    def advance(j: NDArray[np.float64]) -> None:
        knots.append(knots[-1] + dt * (v[-1] + dt * (a[-1] / 2 + dt * j / 6)))
        v.append(v[-1] + dt * (a[-1] + dt * j / 2))
        a.append(a[-1] + dt * j)

    for row in rows:
        advance(row)
    first = (-v[-1] - 1.5 * a[-1] * dt) / dt**2
    for row in (first, -a[-1] / dt - first):
        rows.append(row)
        advance(row)
    v[-1] = a[-1] = np.zeros(2)  # but for rounding
    return Curve(dt, np.array(knots), np.array(v), np.array(a), np.array(rows))


@given(curves(), st.floats(0.0, 1.0), st.booleans())
def test_constant_jerk_between_knots_is_reproduced(
    curve: Curve, share: float, quintic: bool
) -> None:
    controller = JointController(2)
    times = np.arange(len(curve.q)) * curve.dt
    accelerations = curve.a if quintic else None
    controller.command_trajectory(times, curve.q, curve.v, accelerations, 0.25, 0.25)
    at = share * times[-1]
    span = 1.0 + np.abs(curve.q).max()
    expected = curve.at(at)
    np.testing.assert_allclose(
        controller.sample(0.25 + at), expected[0], rtol=0, atol=1e-12 * span
    )
    if share < 1.0:
        state = controller.held.state(0.25 + at)
        np.testing.assert_allclose(state[1], expected[1], rtol=0, atol=1e-9 * span)


def test_new_curve_goes_on_from_the_present_velocity_and_acceleration() -> None:
    controller = JointController(1)
    one = np.array([[0.0], [0.1], [0.3], [0.5]])
    speed, acceleration = np.array([[0.0], [2.0], [2.0], [0.0]]), np.array([[0.0]] * 4)
    times = np.array([0.0, 0.1, 0.25, 0.35])
    controller.command_trajectory(times, one, speed, acceleration, 0.0, 0.0)
    before = controller.held.state(0.17)
    assert abs(before[1, 0]) > 0.5 and abs(before[2, 0]) > 0.5
    controller.command_trajectory(
        np.array([0.2]), np.array([[0.6]]), np.array([[0.0]]), np.array([[0.0]]), 0.17, 0.17
    )
    np.testing.assert_allclose(controller.held.state(0.17), before, atol=1e-12)
    np.testing.assert_allclose(controller.sample(0.37), [0.6])
    # The quintic that is fixed by both its ends, at its middle.
    q, v, a = before[:, 0]
    middle = 0.5 * (q + 0.6) + 5 / 32 * 0.2 * v + 0.2**2 / 64 * a
    np.testing.assert_allclose(controller.sample(0.27), [middle])


@pytest.mark.parametrize(
    ("times", "positions", "velocities", "accelerations", "problem"),
    [
        ([], np.zeros((0, 3)), None, None, "no point"),
        ([0.1, 0.1], [FIRST, SECOND], None, None, "do not increase"),
        ([0.2, 0.1], [FIRST, SECOND], None, None, "do not increase"),
        ([-0.1], [FIRST], None, None, "negative"),
        ([np.inf], [FIRST], None, None, "not finite"),
        ([0.1], [FIRST[:2]], None, None, "shape"),
        ([0.1, 0.2], [FIRST, [0.0, np.nan, 0.0]], None, None, "not finite"),
        ([0.1, 0.2], [FIRST, SECOND], [FIRST], None, "shape"),
        ([0.1, 0.2], [FIRST, SECOND], [FIRST, [0.0, np.inf, 0.0]], None, "not finite"),
        ([0.1, 0.2], [FIRST, SECOND], [FIRST, 1e-3 * FIRST], None, "not at rest"),
        ([0.1, 0.2], [FIRST, SECOND], None, [FIRST, 0 * FIRST], "accelerations only"),
        ([0.1, 0.2], [FIRST, SECOND], [FIRST, 0 * FIRST], [FIRST[:1]] * 2, "shape"),
    ],
)
def test_bad_trajectory_leaves_the_old_command(
    controller: JointController,
    times: list[float],
    positions: Any,
    velocities: Any,
    accelerations: Any,
    problem: str,
) -> None:
    with pytest.raises(InputError, match=problem):
        controller.command_trajectory(
            np.array(times), positions, velocities, accelerations, 0.0, 0.0
        )
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
    follow(controller, points, start_s=0.0, now_s=0.0)
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
