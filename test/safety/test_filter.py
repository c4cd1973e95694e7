"""The filter takes over an arm, accepts actions and bounds them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.robots.tool_frame import rotation_from_yaw
from vla_rl_nodes.safety.filter import SafetyFilter
from vla_rl_nodes.safety.reasons import NONE, Reason

Refused = Callable[[object, Reason], str]
MS = 1_000_000
FORWARD = [0.01, 0.005, 0.0, 0.02, 0.04]


def test_a_new_filter_commands_nothing(rig: Any, refused: Refused) -> None:
    fresh = SafetyFilter(rig.robot, rig.kinematics, rig.contract, rig.limits)
    output = fresh.tick(rig.now)
    assert output.q_command is None and output.gripper_width is None
    assert output.reference is None and output.executed is None
    assert output.state == "disarmed" and output.stop_tail.shape == (0, 7)
    message = refused(fresh.command(rig.now, rig.now, rig.names, FORWARD), Reason.NOT_ARMED)
    assert message == "the filter is disarmed; arm it first"


def test_arming_moves_nothing(rig: Any) -> None:
    for _ in range(10):
        output = rig.step()
        np.testing.assert_array_equal(output.q_command, rig.robot.home)
        assert output.reasons == NONE and output.messages == ()
    pose = rig.kinematics.fk(rig.robot.home)
    np.testing.assert_allclose(output.reference, [*pose.position, 0.0, 0.08], atol=1e-12)
    np.testing.assert_array_equal(output.stop_tail, rig.robot.home[None])


def disarmed(rig: Any) -> Any:
    rig.filter.disarm()
    assert rig.filter.state == "disarmed"
    return rig


@pytest.mark.parametrize(
    ("joint", "value", "said"),
    [
        (0, math.nan, "is not usable"),
        (1, 1.85, "fr3_joint2 is at 1.8500 rad, outside -1.8361..1.8361; move the arm by hand"),
        (3, 0.5, "fr3_joint4 is at 0.5000 rad"),
        (5, 2.0, "the tool is tilted by 0.43 rad; point it down"),
    ],
)
def test_an_unfit_arm_is_not_armed(rig: Any, joint: int, value: float, said: str) -> None:
    disarmed(rig)
    q = rig.robot.home.copy()
    q[joint] = value
    rig.now += 10 * MS
    rig.measure(np.nan_to_num(q))
    with pytest.raises(InputError) as raised:
        rig.filter.arm(rig.now, q, 0.04)
    assert said in str(raised.value)
    assert rig.filter.state == "disarmed"


def test_arming_needs_a_fresh_joint_state_that_agrees(rig: Any) -> None:
    disarmed(rig)
    with pytest.raises(InputError, match="no fresh joint state; check the robot's driver"):
        rig.filter.arm(rig.now + 51 * MS, rig.robot.home, 0.04)
    with pytest.raises(InputError, match="not at the given position"):
        rig.filter.arm(rig.now, rig.robot.home + 0.2, 0.04)
    with pytest.raises(InputError, match="not usable"):
        rig.filter.arm(rig.now, rig.robot.home[:6], 0.04)
    with pytest.raises(InputError, match="not usable"):
        rig.filter.arm(rig.now, rig.robot.home, math.nan)
    rig.filter.arm(rig.now, rig.robot.home, 0.04)
    with pytest.raises(InputError, match="arm: the filter is armed; disarm it first"):
        rig.filter.arm(rig.now, rig.robot.home, 0.04)


# --- commands


def test_an_action_moves_the_reference_and_then_the_arm(rig: Any) -> None:
    before = rig.step().reference
    stamp = rig.now
    first = rig.act(FORWARD)
    assert first.executed.stamp_ns == stamp
    assert first.executed.reasons == NONE
    np.testing.assert_allclose(first.executed.values, FORWARD, atol=1e-12)
    np.testing.assert_allclose(first.reference[:4] - before[:4], FORWARD[:4], atol=1e-12)
    assert first.reference[4] == 0.04
    rig.step(10)
    tool = rig.kinematics.fk(rig.q)
    np.testing.assert_allclose(tool.position, before[:3] + FORWARD[:3], atol=1e-5)
    np.testing.assert_allclose(tool.rotation, rotation_from_yaw(0.02), atol=1e-5)


def test_an_expert_like_motion_is_followed_without_a_reason(rig: Any) -> None:
    goal = np.array([0.52, 0.12, 0.02])
    reference = rig.step().reference
    for _ in range(60):
        way = goal - reference[:3]
        share = min(1.0, 0.02 / max(float(np.linalg.norm(way)), 1e-9))
        turn = float(np.clip(0.5 - reference[3], -0.05, 0.05))
        reference = rig.act([*(share * way), turn, 0.08]).reference
    assert all(output.reasons == NONE for output in rig.outputs)
    wanted = rig.at(0.52, 0.12, 0.02, 0.5)
    tool, expected = rig.kinematics.fk(rig.q), rig.kinematics.fk(wanted)
    np.testing.assert_allclose(tool.position, expected.position, atol=1e-5)
    np.testing.assert_allclose(tool.rotation, expected.rotation, atol=1e-5)
    settled = np.array(rig.stream[-10:])
    assert np.ptp(settled, axis=0).max() < 1e-4
    lowest = rig.kinematics.tool_points(np.array(rig.stream))[:, 2].min()
    assert lowest > 0.0195  # no overshoot into the table
    rig.assert_stream_safe()


def test_names_are_read_in_any_order(rig: Any) -> None:
    other = list(reversed(range(5)))
    names = [rig.names[i] for i in other]
    assert rig.filter.command(rig.now, rig.now, names, [FORWARD[i] for i in other]) is None
    np.testing.assert_allclose(rig.step().executed.values, FORWARD, atol=1e-12)


@pytest.mark.parametrize(
    ("names", "values", "reason"),
    [
        (None, [0.01, 0.0, 0.0, 0.0], Reason.WRONG_LENGTH),
        (None, [0.01, math.nan, 0.0, 0.0, 0.04], Reason.NON_FINITE),
        (None, [math.inf, 0.0, 0.0, 0.0, 0.04], Reason.NON_FINITE),
        (
            ["tool_x", "tool_y", "tool_z", "tool_roll", "gripper_width"],
            FORWARD,
            Reason.WRONG_NAMES,
        ),
    ],
)
def test_bad_commands_move_nothing(
    rig: Any, refused: Refused, names: list[str] | None, values: list[float], reason: Reason
) -> None:
    rig.step()
    answer = rig.filter.command(rig.now, rig.now, names or rig.names, values)
    assert refused(answer, reason).startswith("command ")
    output = rig.step(5)
    assert all(o.executed is None for o in rig.outputs)
    np.testing.assert_array_equal(output.q_command, rig.robot.home)


def test_stale_future_and_repeated_commands_are_refused(rig: Any, refused: Refused) -> None:
    rig.step(20)
    refused(rig.command(FORWARD, rig.now - 121 * MS), Reason.STALE_COMMAND)
    refused(rig.command(FORWARD, rig.now + 21 * MS), Reason.FUTURE_STAMP)
    stamp = rig.now
    assert rig.command(FORWARD, stamp) is None
    refused(rig.command(FORWARD, stamp), Reason.DUPLICATE)
    assert rig.step().executed.stamp_ns == stamp
    refused(rig.command(FORWARD, stamp), Reason.DUPLICATE)
    refused(rig.command(FORWARD, stamp - 50 * MS), Reason.DUPLICATE)
    # A new stamp, but sooner than half a control period: a publisher that runs away.
    assert rig.command(FORWARD, stamp + 20 * MS) is None
    output = rig.step()
    assert output.executed is None and output.reasons == Reason.DUPLICATE
    assert "half a control period" in output.messages[0]


def test_a_command_from_before_the_arming_is_not_executed(rig: Any, refused: Refused) -> None:
    rig.command(FORWARD)
    disarmed(rig)
    rig.filter.arm(rig.now, rig.q, 0.08)
    assert rig.step().executed is None
    refused(rig.command(FORWARD, rig.now - 15 * MS), Reason.STALE_COMMAND)


def test_a_command_that_waited_too_long_for_its_tick_is_not_executed(rig: Any) -> None:
    rig.command(FORWARD)
    rig.now += 121 * MS
    rig.measure()
    output = rig.step()
    assert output.executed is None
    assert Reason.STALE_COMMAND in output.reasons


# --- residuals


def test_a_residual_of_the_same_tick_is_added_within_its_bound(rig: Any) -> None:
    first = rig.act([0.0, 0.0, 0.0, 0.0, 0.02], [0.004, -0.012, 0.002, 0.05, 0.03])
    np.testing.assert_allclose(
        first.executed.values, [0.004, -0.012, 0.002, 0.05, 0.05], atol=1e-12
    )
    assert first.executed.reasons == NONE
    first = rig.act([0.001, 0.0, 0.0, 0.0, 0.0], [0.5, -0.5, 0.013, -3.0, 0.5])
    np.testing.assert_allclose(
        first.executed.values, [0.013, -0.012, 0.012, -0.08, 0.08], atol=1e-12
    )
    assert first.executed.reasons == Reason.RESIDUAL_BOUND


def test_the_sum_is_bounded_by_the_contract(rig: Any) -> None:
    first = rig.act([0.015, 0.0, 0.0, 0.0, 0.04], [0.012, 0.0, 0.0, 0.0, 0.0])
    np.testing.assert_allclose(first.executed.values, [0.02, 0, 0, 0, 0.04], atol=1e-12)
    assert first.executed.reasons == Reason.ACTION_BOUND


def test_a_residual_of_another_tick_is_not_used(rig: Any) -> None:
    rig.step(10)
    rig.residual([0.01] * 5, rig.now - 50 * MS)
    first = rig.act(FORWARD)
    np.testing.assert_allclose(first.executed.values, FORWARD, atol=1e-12)


def test_a_residual_without_a_base_does_nothing(rig: Any) -> None:
    for _ in range(4):
        rig.residual([0.01] * 5)
        output = rig.step(5)
        assert output.executed is None
    np.testing.assert_array_equal(output.q_command, rig.robot.home)


def test_a_usual_residual_is_waited_for_but_not_for_long(rig: Any) -> None:
    rig.act(FORWARD, [0.001] * 5)
    stamp = rig.now
    rig.command(FORWARD)
    assert rig.step().executed is None  # it usually comes: one filter tick of patience
    rig.residual([0.002] * 5, stamp)
    output = rig.step()
    np.testing.assert_allclose(output.executed.values, np.array(FORWARD) + 0.002, atol=1e-12)
    rig.step(3)
    stamp = rig.now
    rig.command(FORWARD)
    assert rig.step().executed is None
    output = rig.step()
    assert output.executed.stamp_ns == stamp
    np.testing.assert_allclose(output.executed.values, FORWARD, atol=1e-12)
    rig.step(3)
    rig.command(FORWARD)
    assert rig.step().executed is not None  # no longer usual


# --- bounds on the motion


def test_the_reference_stays_in_the_workspace(rig: Any) -> None:
    for _ in range(50):
        output = rig.act([0.0, 0.0, -0.02, 0.0, 0.08])
    assert output.reference[2] == pytest.approx(0.012, abs=1e-12)
    assert output.executed.reasons == Reason.WORKSPACE
    np.testing.assert_allclose(output.executed.values[:4], 0.0, atol=1e-12)
    assert rig.kinematics.fk(rig.q).position[2] == pytest.approx(0.012, abs=1e-4)
    rig.assert_stream_safe()


def test_a_motion_that_the_joints_cannot_follow_is_shortened(rig: Any) -> None:
    wanted = [0.02, 0.02, -0.02, 0.15, 0.08]
    shares = []
    for _ in range(12):
        executed = rig.act(wanted).executed
        shares.append(executed.values[0] / 0.02)
        # All of the motion is shortened together, the gripper is not part of it.
        np.testing.assert_allclose(executed.values[:4] / shares[-1], wanted[:4], atol=1e-9)
        assert executed.values[4] == 0.08
        assert (executed.reasons & Reason.JOINT_VELOCITY != NONE) == (shares[-1] < 1.0)
    assert 0.2 < min(shares) < 1.0
    rig.assert_stream_safe()


def test_joint_limits_are_approached_slowly_and_never_crossed(rig: Any) -> None:
    told = NONE
    for _ in range(60):
        told |= rig.act([0.0, 0.0, 0.0, -0.15, 0.08]).executed.reasons
    assert told & (Reason.JOINT_VELOCITY | Reason.JOINT_POSITION)
    last = rig.robot.position_max[6]
    assert last - 0.2 < rig.q[6] < last
    rig.assert_stream_safe()


# --- the gripper


def test_the_gripper_closes_at_its_speed_and_keeps_still_in_a_stop(rig: Any) -> None:
    widths = [rig.act([0.0, 0.0, 0.0, 0.0, 0.03]).gripper_width]
    for _ in range(4):
        rig.act([0.0, 0.0, 0.0, 0.0, 0.03])
    widths = np.array([0.08] + [o.gripper_width for o in rig.outputs])
    assert np.abs(np.diff(widths)).max() == pytest.approx(0.001, abs=1e-9)  # 0.1 m/s
    assert widths[-1] == pytest.approx(0.08 - 0.025, abs=1e-9)
    rig.step(12)  # holding: it goes on to the accepted width
    rig.now += 1
    lost = rig.q.copy()
    lost[0] += 0.2
    rig.measure(lost)
    stopped = [rig.step().gripper_width]
    assert stopped[0] < widths[-1]
    while (output := rig.step()).state == "stopping":
        stopped.append(output.gripper_width)
    assert set(stopped) == {stopped[0]}


def test_the_gripper_target_is_kept_in_its_range(rig: Any) -> None:
    first = rig.act([0.0, 0.0, 0.0, 0.0, 0.5])
    assert first.executed.values[4] == 0.08 and first.executed.reasons == Reason.ACTION_BOUND
    first = rig.act([0.0, 0.0, 0.0, 0.0, -0.5])
    assert first.executed.values[4] == 0.0 and first.executed.reasons == Reason.ACTION_BOUND
