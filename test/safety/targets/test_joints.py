"""Joint targets: no action leads out of the limits, none inside them is changed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vla_rl_nodes.safety.reasons import NONE, Reason

from .scenes import CRATE, PERIOD, WIDTH, Scene, changed, limits, settle
from .truth import Limits

CROWDED = changed(limits("franka_pick"), obstacles=[CRATE])
SCENES = {
    "fr3": Scene("fr3", "joint_position", CROWDED),
    "fr3 by steps": Scene("fr3", "joint_delta", changed(CROWDED, tool_speed_max=0.2)),
    "ur5e": Scene("ur5e_narrow", "joint_delta", limits("ur5e")),
    "go2": Scene("go2", "joint_delta", limits("go2")),
}
BOX = 1e-4  # m, that the tool may be out of its box at a joint target
shares = st.lists(st.floats(-1.0, 1.0), min_size=12, max_size=12).map(np.array)


def action_of(scene: Scene, q: np.ndarray, step: np.ndarray) -> np.ndarray:
    """The action that asks for a step of the joints from ``q``, inside the action's bounds."""
    moved = q + step if scene.kind == "joint_position" else step
    low, high = scene.action.minimum, scene.action.maximum
    return np.clip(scene.full(moved), low, high)


@pytest.mark.parametrize("name", SCENES)
@settings(deadline=None, max_examples=12, derandomize=True)
@given(share=shares, wobble=st.lists(shares, min_size=5, max_size=5))
def test_no_action_leads_out_of_the_limits(
    name: str, share: np.ndarray, wobble: list[np.ndarray]
) -> None:
    scene = SCENES[name]
    joints = len(scene.robot.joints)
    target, q = scene.target(), scene.robot.home
    for other in [*wobble, *wobble]:
        step = 0.2 * (0.8 * share + 0.2 * other)[:joints]
        action = action_of(scene, q, step)
        values, reasons = target.accept(action, q)
        end = settle(target)
        if not reasons:
            assert values is action
        # What is said to be accepted is what was done.
        expected = end if scene.kind == "joint_position" else end - q
        np.testing.assert_allclose(values[:joints], expected, atol=1e-12)
        np.testing.assert_array_equal(target.pose[:joints], end)
        assert (values >= scene.action.minimum - 1e-6).all()
        assert (values <= scene.action.maximum + 1e-6).all()
        within = Limits(scene, q)
        assert within.ranges(end).min() >= -1e-9
        assert within.velocities(end).min() >= -1e-8
        assert within.distances(end).min() >= -2e-6 - 1e-9
        for part, tolerance in ((within.box, BOX), (within.speed, 1e-9), (within.height, 1e-9)):
            assert (part(end) >= -tolerance - 1e-12).all()
        q = end


@pytest.mark.parametrize("name", SCENES)
@settings(deadline=None, max_examples=12, derandomize=True)
@given(share=shares)
def test_inside_the_limits_nothing_changes(name: str, share: np.ndarray) -> None:
    scene = SCENES[name]
    joints = len(scene.robot.joints)
    target, q = scene.target(), scene.robot.home
    step = 0.008 * share[:joints]
    for _ in range(3):
        action = action_of(scene, q, step)
        values, reasons = target.accept(action, q)
        assert values is action and reasons is NONE
        reached = settle(target)
        np.testing.assert_allclose(reached, q + step, atol=1e-15)
        q = reached


@pytest.mark.parametrize("name", SCENES)
def test_standing_still_moves_nothing(name: str) -> None:
    scene = SCENES[name]
    q = scene.robot.home + 0.01 * np.cos(np.arange(len(scene.robot.home)))
    target = scene.target(q)
    still = action_of(scene, q, np.zeros(len(q)))
    for _ in range(4):
        values, reasons = target.accept(still, q)
        assert values is still and reasons is NONE
        np.testing.assert_array_equal(settle(target), q)


def test_accepted_action_is_not_shared() -> None:
    """Who changes the array afterwards does not change the target."""
    scene = SCENES["fr3"]
    target, q = scene.target(), scene.robot.home
    action = action_of(scene, q, np.full(7, 0.01))
    target.accept(action, q)
    action[:] = 9.0
    np.testing.assert_allclose(settle(target), q + 0.01, atol=1e-15)


def test_gripper_follows_its_axis() -> None:
    scene = SCENES["fr3"]
    target = scene.target()
    assert target.width == WIDTH
    target.accept(np.append(scene.robot.home, 0.013), scene.robot.home)
    assert target.width == target.pose[-1] == 0.013
    assert SCENES["go2"].target().width is None


def test_fast_joint_is_cut_and_the_others_are_left() -> None:
    scene = Scene("ur5e_narrow", "joint_delta", changed(limits("ur5e"), tool_speed_max=None))
    target, q = scene.target(), scene.robot.home
    most = scene.robot.velocity_max[0] * scene.limits.velocity_scale * PERIOD
    step = np.array([0.09, 0.01, -0.02, 0.03, 0.0, 0.01])
    assert step[0] > most
    values, reasons = target.accept(step, q)
    assert reasons == Reason.JOINT_VELOCITY
    np.testing.assert_allclose(values, [most, *step[1:]], atol=1e-8)


def test_end_of_a_range_is_reached_and_not_left() -> None:
    scene = Scene("ur5e_narrow", "joint_delta", changed(limits("ur5e"), tool_speed_max=None))
    target, q = scene.target(), scene.robot.home
    step = np.array([0.03, 0.0, 0.0, 0.0, 0.0, 0.02])
    for _ in range(30):
        _, reasons = target.accept(step, q)
        q = settle(target)
        assert (q <= scene.robot.position_max).all()
    assert reasons == Reason.JOINT_POSITION
    np.testing.assert_allclose(q[[0, 5]], scene.robot.position_max[[0, 5]], atol=1e-8)


def test_tool_speed_is_kept() -> None:
    scene = Scene("fr3", "joint_delta", changed(limits("franka_pick"), tool_speed_max=0.1))
    target, q = scene.target(), scene.robot.home
    step = scene.full([0.05, 0.03, 0.0, 0.02, 0.0, 0.0, 0.0])
    values, reasons = target.accept(step, q)
    end = settle(target)
    assert Reason.TOOL_SPEED in reasons
    one, other = scene.kinematics.fk(q).position, scene.kinematics.fk(end).position
    way = float(np.linalg.norm(other - one))
    assert 0.95 * 0.1 * PERIOD <= way <= 0.1 * PERIOD + 1e-9
    assert values[0] > 0.01


def test_trunk_stops_at_its_height() -> None:
    scene = SCENES["go2"]
    target, q = scene.target(), scene.robot.home
    sink = np.zeros(12)
    sink[1::3], sink[2::3] = 0.05, -0.1  # all legs bend
    seen = NONE
    for _ in range(25):
        _, reasons = target.accept(sink, q)
        seen |= reasons
        q = settle(target)
    assert Reason.BODY in seen
    body = scene.limits.body
    assert body is not None
    height = max(-scene.kinematics.fk(q, foot).position[2] for foot in scene.robot.feet)
    assert body.height_min < height < body.height_min + 0.01


def test_refused_leaves_the_target() -> None:
    scene = Scene("ur5e_narrow", "joint_delta", changed(limits("ur5e"), velocity_scale=1e-9))
    target, q = scene.target(), scene.robot.home
    values, reasons = target.accept(np.full(6, 0.05), q)
    assert Reason.JOINT_VELOCITY in reasons
    np.testing.assert_allclose(values, 0.0, atol=1e-9)
    np.testing.assert_allclose(settle(target), q, atol=1e-9)


def test_back_retraces_the_targets() -> None:
    scene = SCENES["fr3 by steps"]
    target, q = scene.target(), scene.robot.home
    way = [q]
    for k in range(4):
        target.accept(scene.full(0.005 * np.cos(np.arange(7) + k)), q)
        q = settle(target)
        way.append(q)
    for expected in way[-2::-1]:
        assert target.back()
        np.testing.assert_array_equal(settle(target), expected)
    assert not target.back()


def test_push_gives_way_along_the_force() -> None:
    scene = Scene("fr3", "joint_position", limits("franka_pick"))
    target, q = scene.target(), scene.robot.home
    target.push(np.array([0.0, 0.004, 0.002]))
    end = settle(target)
    way = scene.kinematics.fk(end).position - scene.kinematics.fk(q).position
    np.testing.assert_allclose(way, [0.0, 0.004, 0.002], atol=2e-4)


def test_push_ends_at_the_box() -> None:
    scene = Scene("fr3", "joint_position", limits("franka_pick"))
    q = scene.down_at(0.698, 0.0, 0.3)
    target = scene.target(q)
    for _ in range(4):
        target.push(np.array([0.004, 0.0, 0.0]))
        q = settle(target)
    assert 0.698 < scene.kinematics.fk(q).position[0] <= 0.7 + BOX


def test_push_on_a_robot_without_a_tool() -> None:
    scene = SCENES["go2"]
    target = scene.target()
    target.push(np.array([0.1, 0.0, 0.0]))
    np.testing.assert_array_equal(settle(target), scene.robot.home)


def test_restart_stands_where_the_robot_is() -> None:
    scene = SCENES["fr3"]
    target, q = scene.target(), scene.robot.home
    target.accept(action_of(scene, q, np.full(7, 0.02)), q)
    elsewhere = q - 0.03
    target.restart(elsewhere)
    np.testing.assert_array_equal(settle(target), elsewhere)
    np.testing.assert_array_equal(target.pose[:7], elsewhere)


def test_tightened_velocities_hold_from_the_next_action() -> None:
    scene = Scene("ur5e_narrow", "joint_delta", changed(limits("ur5e"), tool_speed_max=None))
    target, q = scene.target(), scene.robot.home
    step = np.full(6, 0.03)
    assert target.accept(step, q).reasons is NONE
    q = settle(target)
    target.tighten(changed(scene.limits, velocity_scale=0.1))
    values, reasons = target.accept(step, q)
    assert reasons == Reason.JOINT_VELOCITY
    np.testing.assert_allclose(values, np.pi * 0.1 * PERIOD, atol=1e-8)
