"""The filter takes over a Franka, accepts actions and moves it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.robots.tool_frame import rotation_from_yaw
from vla_rl_nodes.safety.reasons import NONE, Reason
from vla_rl_nodes.safety.state import Source
from vla_rl_nodes.safety.status import Status

Refused = Callable[[object, Reason], str]
MS = 1_000_000
FORWARD = [0.01, 0.005, 0.0, 0.02, 0.04]


def test_arming_moves_nothing(rig: Any) -> None:
    for _ in range(10):
        output = rig.step()
        np.testing.assert_array_equal(output.q_command, rig.robot.home)
        assert output.reasons == NONE and output.messages == () and output.twist is None
    pose = rig.kinematics.fk(rig.robot.home)
    np.testing.assert_allclose(output.reference, [*pose.position, 0.0, 0.08], atol=1e-12)
    assert rig.filter.reference_names == rig.names
    np.testing.assert_array_equal(output.plan.q[-1], rig.robot.home)


@pytest.mark.parametrize(
    ("joint", "value", "said"),
    [
        (0, math.nan, "is not usable"),
        (1, 1.85, "fr3_joint2 is at 1.8500 rad, outside -1.8361..1.8361; move the arm by hand"),
        (5, 2.0, "the tool is tilted by 0.43 rad; point it down"),
    ],
)
def test_an_unfit_arm_is_not_armed(rig: Any, joint: int, value: float, said: str) -> None:
    rig.filter.disarm()
    q = rig.robot.home.copy()
    q[joint] = value
    rig.later(10)
    rig.measure(np.nan_to_num(q))
    with pytest.raises(InputError) as raised:
        rig.filter.arm(rig.now, q, 0.04)
    assert said in str(raised.value)
    assert rig.filter.state == "disarmed"


def test_a_reset_may_begin_with_a_tilted_tool(rig: Any) -> None:
    rig.filter.disarm()
    q = rig.robot.home.copy()
    q[5] = 2.0
    for _ in range(4):  # it has to be seen at rest
        rig.later(10)
        rig.measure(q)
    with pytest.raises(InputError, match="tilted"):
        rig.filter.arm(rig.now, q, 0.04)
    rig.filter.arm(rig.now, q, 0.04, for_reset=True)
    np.testing.assert_array_equal(rig.step().q_command, q)


# --- commands


def test_an_action_moves_the_reference_and_then_the_arm(rig: Any) -> None:
    before = rig.step().reference
    stamp = rig.now.ros_ns
    first = rig.act(FORWARD)
    assert first.executed.stamp_ns == stamp
    assert first.executed.reasons == NONE and first.status is Status.NO_WARNING
    assert first.executed.values.tobytes() == np.array(FORWARD).tobytes()
    np.testing.assert_allclose(first.reference[:4] - before[:4], FORWARD[:4], atol=1e-9)
    assert first.reference[4] == 0.04
    rig.step(20)
    tool = rig.kinematics.fk(rig.q)
    np.testing.assert_allclose(tool.position, before[:3] + FORWARD[:3], atol=1e-5)
    np.testing.assert_allclose(tool.rotation, rotation_from_yaw(0.02), atol=1e-5)
    rig.assert_stream_safe()


def test_an_expert_like_motion_is_followed_without_a_reason(rig: Any) -> None:
    goal = np.array([0.52, 0.12, 0.02])
    reference = rig.step().reference
    speed = 0.0  # of the action, rising as an expert's does
    for _ in range(80):
        way = goal - reference[:3]
        far = max(float(np.linalg.norm(way)), 1e-9)
        speed = min(speed + 0.002, 0.012, 0.25 * far)
        turn = float(np.clip(0.25 * (0.5 - reference[3]), -1.5 * speed, 1.5 * speed))
        reference = rig.act([*(min(1.0, speed / far) * way), turn, 0.08]).reference
    rig.step(10)
    assert all(output.reasons & ~Reason.STALE_COMMAND == NONE for output in rig.outputs)
    wanted = rig.at(0.52, 0.12, 0.02, 0.5)
    tool, expected = rig.kinematics.fk(rig.q), rig.kinematics.fk(wanted)
    np.testing.assert_allclose(tool.position, expected.position, atol=1e-4)
    np.testing.assert_allclose(tool.rotation, expected.rotation, atol=1e-4)
    rig.assert_stream_safe()


def test_names_are_read_in_any_order(rig: Any) -> None:
    other = list(reversed(range(5)))
    names = [rig.names[i] for i in other]
    values = [FORWARD[i] for i in other]
    assert rig.filter.command(Source.POLICY, rig.now.ros_ns, rig.now, names, values) is None
    np.testing.assert_array_equal(rig.step().executed.values, FORWARD)


@pytest.mark.parametrize(
    ("names", "values", "reason"),
    [
        (None, [0.01, 0.0, 0.0, 0.0], Reason.WRONG_LENGTH),
        (None, [0.01, math.nan, 0.0, 0.0, 0.04], Reason.NON_FINITE),
        (None, [math.inf, 0.0, 0.0, 0.0, 0.04], Reason.NON_FINITE),
        (["tool_x", "tool_y", "tool_z", "roll", "gripper_width"], FORWARD, Reason.WRONG_NAMES),
    ],
)
def test_bad_commands_move_nothing(
    rig: Any, refused: Refused, names: list[str] | None, values: list[float], reason: Reason
) -> None:
    rig.step()
    answer = rig.filter.command(Source.POLICY, rig.now.ros_ns, rig.now, names or rig.names, values)
    assert refused(answer, reason).startswith("command ")
    output = rig.step(5)
    assert all(o.executed is None for o in rig.outputs)
    assert rig.outputs[1].reasons == reason
    np.testing.assert_array_equal(output.q_command, rig.robot.home)


def test_stale_future_and_repeated_commands_are_refused(rig: Any, refused: Refused) -> None:
    rig.step(20)
    refused(rig.command(FORWARD, rig.now.ros_ns - 121 * MS), Reason.STALE_COMMAND)
    refused(rig.command(FORWARD, rig.now.ros_ns + 21 * MS), Reason.FUTURE_STAMP)
    stamp = rig.now.ros_ns
    assert rig.command(FORWARD, stamp) is None
    refused(rig.command(FORWARD, stamp), Reason.DUPLICATE)
    assert rig.step().executed.stamp_ns == stamp
    refused(rig.command(FORWARD, stamp - 50 * MS), Reason.DUPLICATE)
    # A new stamp, but sooner than half a control period: a publisher that runs away.
    assert rig.command(FORWARD, stamp + 20 * MS) is None
    output = rig.step()
    assert output.executed is None and Reason.DUPLICATE in output.reasons
    assert "half a control period" in output.messages[0]


def test_a_command_that_waited_too_long_for_its_tick_is_not_executed(rig: Any) -> None:
    rig.command(FORWARD)
    rig.later(121)
    rig.measure()
    output = rig.step()
    assert output.executed is None
    assert Reason.STALE_COMMAND in output.reasons


# --- residuals


def test_a_residual_of_the_same_tick_is_added_within_its_bound(rig: Any) -> None:
    first = rig.act([0.0, 0.0, 0.0, 0.0, 0.02], [0.004, -0.006, 0.002, 0.05, 0.03])
    np.testing.assert_allclose(
        first.executed.values, [0.004, -0.006, 0.002, 0.05, 0.05], atol=1e-12
    )
    assert first.executed.reasons == NONE
    rig.step(20)
    first = rig.act([0.001, 0.0, 0.0, 0.0, 0.0], [0.0, 0.5, 0.0, 0.0, 0.5])
    assert Reason.RESIDUAL_BOUND in first.executed.reasons
    assert 0.0 < first.executed.values[1] <= 0.012


def test_a_usual_residual_is_waited_for_but_not_for_long(rig: Any) -> None:
    rig.act(FORWARD, [0.001] * 5)
    stamp = rig.now.ros_ns
    rig.command(FORWARD)
    assert rig.step().executed is None  # it usually comes: one filter tick of patience
    rig.residual([0.002] * 5, stamp)
    output = rig.step()
    np.testing.assert_allclose(output.executed.values, np.array(FORWARD) + 0.002, atol=1e-12)
    rig.step(3)
    rig.command(FORWARD)
    assert rig.step().executed is None
    np.testing.assert_allclose(rig.step().executed.values, FORWARD, atol=1e-12)
    rig.step(3)
    rig.command(FORWARD)
    assert rig.step().executed is not None  # no longer usual


# --- bounds on the motion


def test_the_reference_stays_in_the_workspace(rig: Any) -> None:
    for _ in range(12):
        rig.act([0.015, 0.0, 0.0, 0.0, 0.08])
    for _ in range(70):
        output = rig.act([0.0, 0.0, -0.02, 0.0, 0.08])
    assert output.reference[2] >= 0.012 - 1e-9
    assert output.executed.reasons & (Reason.WORKSPACE | Reason.COLLISION)
    assert output.status in (Status.WORKSPACE, Status(4), Status(5))
    np.testing.assert_allclose(output.executed.values[:4], 0.0, atol=1e-3)
    assert 0.0119 < rig.kinematics.fk(rig.q).position[2] < 0.02
    rig.assert_stream_safe()


def test_joint_limits_are_approached_slowly_and_never_crossed(rig: Any) -> None:
    told = NONE
    for _ in range(80):
        told |= rig.act([0.0, 0.0, 0.0, -0.15, 0.08]).executed.reasons
    assert told & (Reason.JOINT_VELOCITY | Reason.JOINT_POSITION)
    last = rig.robot.position_max[6]
    assert last - 0.3 < rig.q[6] < last
    rig.assert_stream_safe()


# --- the gripper


def test_the_gripper_closes_at_its_speed_and_keeps_still_in_a_stop(rig: Any) -> None:
    for _ in range(5):
        rig.act([0.01, 0.0, 0.0, 0.0, 0.03])
    widths = np.array([0.08] + [o.gripper_width for o in rig.outputs])
    assert np.abs(np.diff(widths)).max() == pytest.approx(0.001, abs=1e-9)  # 0.1 m/s
    assert widths[-1] == pytest.approx(0.08 - 0.025, abs=1e-9)
    rig.later(1)
    lost = rig.q.copy()
    lost[0] += 0.2
    rig.measure(lost)
    stopped = {rig.step().gripper_width}
    while (output := rig.step()).state == "stopping":
        stopped.add(output.gripper_width)
    assert stopped == {widths[-1]}


def test_the_gripper_target_is_kept_in_its_range(rig: Any) -> None:
    first = rig.act([0.0, 0.0, 0.0, 0.0, 0.5])
    assert first.executed.values[4] == 0.08 and first.executed.reasons == Reason.ACTION_BOUND
    first = rig.act([0.0, 0.0, 0.0, 0.0, -0.5])
    assert first.executed.values[4] == 0.0 and first.executed.reasons == Reason.ACTION_BOUND


def test_the_residual_bound_widens_with_the_residuals_that_were_accepted(new_rig: Any) -> None:
    stages = [{"after": 0, "share": 0.25}, {"after": 4, "share": 0.75}]
    rig = new_rig(residual_schedule=stages)
    accepted = []
    for i in range(6):
        first = rig.act([0.0, 0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0, 0.08])
        accepted.append(first.executed.values[4])
        rig.act([0.0, 0.0, 0.0, 0.0, 0.08])  # without one, which counts for nothing
        if i == 2:
            rig.filter.disarm()
            rig.step(20)
            rig.measure()
            rig.filter.arm(rig.now, rig.q, 0.08)  # keeps the count
    np.testing.assert_allclose(accepted, 0.08 * np.array([0.25, 0.375, 0.5, 0.625, 0.75, 0.75]))
