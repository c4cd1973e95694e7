"""The reference: where an accepted action leads, and how the way there is divided."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from vla_rl_nodes.robots.tool_frame import rotation_from_yaw, yaw_from_rotation
from vla_rl_nodes.safety.reasons import NONE, Reason
from vla_rl_nodes.safety.reference import Reference


def new_reference(rig: Any, q: np.ndarray, width: float = 0.05) -> Reference:
    return Reference(rig.robot, rig.kinematics, rig.contract.action, rig.limits, 5, 0.01, q, width)


def test_the_way_to_a_new_pose_is_linear_over_one_period(new_rig: Any) -> None:
    q = new_rig.at(new_rig, 0.5, 0.0, 0.2)
    reference = new_reference(new_rig, q)
    accepted = reference.accept(np.array([0.0, 0.01, -0.01, 0.05, 0.02]), None, q)
    assert accepted.reasons == NONE
    way = np.array([q, *(reference.advance() for _ in range(5))])
    np.testing.assert_allclose(
        np.diff(way, axis=0), np.tile((way[-1] - q) / 5, (5, 1)), atol=1e-12
    )
    tool = new_rig.kinematics.fk(way[-1])
    np.testing.assert_allclose(tool.position, [0.5, 0.01, 0.19], atol=2e-6)
    np.testing.assert_allclose(tool.rotation, rotation_from_yaw(0.05), atol=2e-6)
    np.testing.assert_array_equal(reference.advance(), way[-1])  # and rests there
    np.testing.assert_allclose(reference.pose, [0.5, 0.01, 0.19, 0.05, 0.02], atol=2e-6)


def test_an_early_action_turns_off_from_where_the_reference_is(new_rig: Any) -> None:
    q = new_rig.at(new_rig, 0.5, 0.0, 0.2)
    reference = new_reference(new_rig, q)
    reference.accept(np.array([0.0, 0.01, 0.0, 0.0, 0.02]), None, q)
    here = [reference.advance() for _ in range(3)][-1]
    reference.accept(np.array([0.0, 0.0, 0.01, 0.0, 0.02]), None, q)
    following = reference.advance()
    assert np.abs(following - here).max() < 0.02
    for _ in range(4):
        following = reference.advance()
    np.testing.assert_allclose(
        new_rig.kinematics.fk(following).position, [0.5, 0.01, 0.21], atol=2e-6
    )


def test_an_action_of_zero_moves_no_joint(new_rig: Any) -> None:
    q = new_rig.at(new_rig, 0.5, 0.2, 0.2, 0.8)
    reference = new_reference(new_rig, q)
    for _ in range(10):
        accepted = reference.accept(np.array([0.0, 0.0, 0.0, 0.0, 0.05]), None, q)
        np.testing.assert_array_equal(accepted.values, [0, 0, 0, 0, 0.05])
        for _ in range(5):
            np.testing.assert_allclose(reference.advance(), q, atol=1e-5)


def test_yaw_is_told_within_half_a_turn(new_rig: Any) -> None:
    q = new_rig.at(new_rig, 0.45, 0.0, 0.3)
    q[6] = -2.3  # the hand turned far to one side
    yaw = yaw_from_rotation(new_rig.kinematics.fk(q).rotation)
    assert yaw > 3.0
    reference = new_reference(new_rig, q)
    for _ in range(3):
        accepted = reference.accept(np.array([0.0, 0.0, 0.0, 0.05, 0.0]), None, q)
        assert accepted.values[3] > 0.0
        for _ in range(5):
            q = reference.advance()
    assert -np.pi <= reference.pose[3] < -3.0


def test_a_tilted_tool_is_brought_upright_within_the_velocity_limits(new_rig: Any) -> None:
    q = new_rig.at(new_rig, 0.5, 0.0, 0.3)
    q[5] += 0.15
    reference = new_reference(new_rig, q)
    for _ in range(10):
        before = q
        reference.accept(np.array([0.0, 0.0, 0.0, 0.0, 0.05]), None, q)
        for _ in range(5):
            following = reference.advance()
            _, upper = new_rig.robot.velocity_bounds(following)
            assert (np.abs(following - q) <= 0.01 * 0.6 * upper + 1e-9).all()
            q = following
    np.testing.assert_allclose(
        new_rig.kinematics.fk(q).rotation,
        rotation_from_yaw(reference.pose[3]),
        atol=1e-5,
    )
    assert np.abs(q - before).max() < 0.05


def test_a_reference_that_runs_ahead_of_the_arm_waits(new_rig: Any) -> None:
    # The arm is kept where it is: the reference may lead by what it could catch up, no more.
    q = new_rig.at(new_rig, 0.5, 0.0, 0.3)
    reference = new_reference(new_rig, q)
    told = NONE
    for _ in range(40):
        told |= reference.accept(np.array([0.0, 0.02, 0.0, 0.0, 0.05]), None, q).reasons
        for _ in range(5):
            ahead = reference.advance()
    assert told & Reason.JOINT_ACCELERATION
    scaled = 0.6 * new_rig.robot.velocity_max
    assert (np.abs(ahead - q) <= 0.05 * scaled + scaled**2 / 20.0 + 1e-9).all()
    assert 0.03 < reference.pose[1] < 0.3
    # Back towards the arm it may go at once.
    accepted = reference.accept(np.array([0.0, -0.02, 0.0, 0.0, 0.05]), None, q)
    assert accepted.reasons == NONE and accepted.values[1] == -0.02


def test_an_unreachable_pose_is_refused_with_its_reason(new_rig: Any) -> None:
    # The far upper corner of the box is out of reach: the arm stretches until nothing is left.
    q = new_rig.at(new_rig, 0.58, 0.22, 0.45)
    reference = new_reference(new_rig, q)
    told = NONE
    for _ in range(30):
        told |= reference.accept(np.array([0.02, 0.02, 0.02, 0.0, 0.05]), None, q).reasons
        for _ in range(5):
            q = reference.advance()
    assert told & Reason.IK_FAILED
    assert reference.pose[0] < 0.7 and reference.pose[2] < 0.6  # short of the box's corner
    tool = new_rig.kinematics.fk(q)
    np.testing.assert_allclose(tool.position, reference.pose[:3], atol=1e-5)


def test_the_opening_is_kept_in_the_contracts_range(new_rig: Any) -> None:
    q = new_rig.robot.home
    assert new_reference(new_rig, q, 0.2).width == 0.08
    assert new_reference(new_rig, q, 0.0).width == 0.0
    # Float32 actions may exceed a bound by rounding, which is no event.
    edge = np.array([np.float32(0.02), 0, 0, np.float32(0.15), np.float32(0.08)], dtype=float)
    accepted = new_reference(new_rig, q).accept(edge, None, q)
    assert Reason.ACTION_BOUND not in accepted.reasons
    assert accepted.values[4] == pytest.approx(0.08)
