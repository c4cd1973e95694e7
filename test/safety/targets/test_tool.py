"""Tool targets: no action leads out of the limits, none inside them is changed."""

from __future__ import annotations

import numpy as np
import pinocchio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vla_rl_nodes.bench.safety.steady import resident_kib
from vla_rl_nodes.robots.tool_frame import rotation_from_yaw
from vla_rl_nodes.safety.limits import Singularity
from vla_rl_nodes.safety.reasons import NONE, Reason
from vla_rl_nodes.safety.targets.singularity import condition

from .scenes import CRATE, PERIOD, STEP, TURN, WIDTH, Scene, changed, limits, settle
from .truth import Limits

CROWDED = changed(limits("franka_pick"), obstacles=[CRATE])
SCENES = {
    "down": Scene("fr3", "tool_delta", CROWDED),
    "base": Scene("fr3", "tool_pose_delta", CROWDED),
    "own": Scene("fr3", "tool_pose_delta", CROWDED, in_tool=True),
    "slow": Scene("fr3", "tool_delta", changed(CROWDED, tool_speed_max=0.15)),
    "ur5e": Scene("ur5e", "tool_pose_delta", limits("ur5e")),
}
shares = st.lists(st.floats(-1.0, 1.0), min_size=6, max_size=6)


def test_reading_the_pose_keeps_no_memory() -> None:
    """Native memory, which Python's own tools do not see: 20 bytes a tick are 7 MB an hour."""
    target = SCENES["base"].target(SCENES["base"].robot.home)
    reads = 40_000
    for _ in range(reads // 10):
        _ = target.pose
    before = resident_kib()
    for _ in range(reads):
        _ = target.pose
    assert 1024 * (resident_kib() - before) < 20 * reads


def action_of(scene: Scene, share: list[float]) -> np.ndarray:
    """An action at these shares of its bounds; the gripper's opening follows the last one."""
    action = np.array(share)[: len(scene.action.axes) - scene.action.has_gripper]
    action = action * scene.action.maximum[: len(action)]
    if scene.action.has_gripper:
        action = np.append(action, 0.08 * abs(share[-1]))
    return action


def turned(pose: np.ndarray) -> np.ndarray:
    """The rotation [3, 3] of a pose as ``safety/reference`` says it."""
    if len(pose) == 5:
        return rotation_from_yaw(pose[3])
    return np.array(pinocchio.Quaternion(np.array(pose[3:7])).toRotationMatrix())


def change(scene: Scene, before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """The action that leads from one pose to another, found anew."""
    way, one, other = after[:3] - before[:3], turned(before), turned(after)
    if scene.kind == "tool_delta":
        return np.append(way, np.angle(np.exp(1j * (after[3] - before[3]))))
    if scene.in_tool:
        return np.concatenate([one.T @ way, pinocchio.log3(one.T @ other)])
    return np.concatenate([way, pinocchio.log3(other @ one.T)])


@pytest.mark.parametrize("name", SCENES)
@settings(deadline=None, max_examples=12, derandomize=True)
@given(share=shares, wobble=st.lists(shares, min_size=6, max_size=6))
def test_no_action_leads_out_of_the_limits(
    name: str, share: list[float], wobble: list[list[float]]
) -> None:
    scene = SCENES[name]
    target, q = scene.target(), scene.robot.home
    begin, tolerance = target.pose[:3], 2e-6
    box = scene.limits.workspace
    assert box is not None and scene.limits.tool_speed_max is not None
    for step, other in enumerate([*wobble, *wobble]):
        action = action_of(scene, [0.8 * a + 0.2 * b for a, b in zip(share, other, strict=True)])
        before = target.pose
        values, reasons = target.accept(action, q)
        pose, end = target.pose, settle(target)
        # What is said to be accepted is what was done.
        moves = values[: len(values) - scene.action.has_gripper]
        np.testing.assert_allclose(change(scene, before, pose), moves, atol=1e-7)
        assert (values >= scene.action.minimum - 1e-6).all()
        assert (values <= scene.action.maximum + 1e-6).all()
        if not reasons:
            assert values is action
        # The joints go where the pose says.
        reached = scene.kinematics.fk(end)
        assert np.abs(reached.position - pose[:3]).max() < tolerance
        if step or scene.kind != "tool_delta":
            assert np.abs(pinocchio.log3(turned(pose).T @ reached.rotation)).max() < tolerance
        # And there they may stand.
        assert (pose[:3] >= np.minimum(box.lower, begin) - 1e-9).all()
        assert (pose[:3] <= np.maximum(box.upper, begin) + 1e-9).all()
        way = np.linalg.norm(pose[:3] - before[:3])
        assert way <= scene.limits.tool_speed_max * PERIOD + 1e-9
        within = Limits(scene, q)
        assert within.ranges(end).min() >= -1e-9
        assert within.velocities(end).min() >= -1e-8
        assert within.distances(end).min() >= -2e-6 - 1e-9
        q = end


@pytest.mark.parametrize("name", ["down", "base", "own", "ur5e"])
@settings(deadline=None, max_examples=12, derandomize=True)
@given(share=shares)
def test_inside_the_limits_nothing_changes(name: str, share: list[float]) -> None:
    scene = SCENES[name]
    target, q = scene.target(), scene.robot.home
    action = action_of(scene, [0.25 * a for a in share])
    for _ in range(3):
        before = target.pose
        values, reasons = target.accept(action, q)
        assert values is action and reasons is NONE
        q = settle(target)
        moves = action[: len(action) - scene.action.has_gripper]
        np.testing.assert_allclose(change(scene, before, target.pose), moves, atol=1e-9)
        assert target.width == (action[-1] if scene.action.has_gripper else None)


@pytest.mark.parametrize("name", ["down", "base", "ur5e"])
def test_zero_moves_nothing(name: str) -> None:
    scene = SCENES[name]
    q = scene.robot.home + 0.02 * np.arange(len(scene.robot.home))
    target = scene.target(q)
    before = target.pose
    zero = action_of(scene, [0.0] * 6)
    for _ in range(5):
        values, reasons = target.accept(zero, q)
        assert values is zero and reasons is NONE
        np.testing.assert_array_equal(settle(target), q)
        np.testing.assert_array_equal(target.pose[: len(before) - 1], before[:-1])


def test_only_the_gripper_moves_no_joint() -> None:
    scene = SCENES["down"]
    target = scene.target()
    target.accept(np.array([0.0, 0.0, 0.0, 0.0, 0.01]), scene.robot.home)
    np.testing.assert_array_equal(settle(target), scene.robot.home)
    assert target.width == 0.01
    assert target.pose[4] == 0.01


@pytest.mark.parametrize(
    ("place", "move", "left"),
    [
        ((0.69, 0.0, 0.3), [0.02, 0.01, -0.01], [0.01, 0.01, -0.01]),
        ((0.255, 0.347, 0.3), [-0.012, 0.012, 0.012], [-0.005, 0.003, 0.012]),
        ((0.35, -0.3, 0.595), [-0.012, 0.006, 0.012], [-0.012, 0.006, 0.005]),
    ],
)
def test_slides_along_the_box(
    place: tuple[float, float, float], move: list[float], left: list[float]
) -> None:
    scene = Scene("fr3", "tool_delta", limits("franka_pick"))
    q = scene.down_at(*place)
    target = scene.target(q)
    values, reasons = target.accept(scene.full([*move, 0.05]), q)
    assert reasons == Reason.WORKSPACE
    np.testing.assert_allclose(values, [*left, 0.05, WIDTH], atol=2e-5)


def test_too_fast_is_shortened_in_its_direction() -> None:
    scene = Scene("fr3", "tool_delta", changed(limits("franka_pick"), tool_speed_max=0.1))
    target = scene.target()
    move = np.array([0.012, -0.006, 0.004, 0.03])
    values, reasons = target.accept(scene.full(move), scene.robot.home)
    assert reasons == Reason.TOOL_SPEED
    length = np.linalg.norm(values[:3])
    assert 0.9 * 0.1 * PERIOD <= length <= 0.1 * PERIOD
    np.testing.assert_allclose(values[:4] / move, values[0] / move[0], atol=1e-9)


def stretched(bend: float) -> tuple[Scene, np.ndarray]:
    """The UR5e with its arm stretched but for a bend of the elbow, and no box around it."""
    rule = Singularity(slow_from=20.0, stop_at=40.0)
    of = changed(limits("ur5e"), singularity=rule.model_dump(), workspace=None, planes=[])
    scene = Scene("ur5e", "tool_pose_delta", of)
    q = np.array([0.3, -0.8, bend, -1.0, -1.2, 0.2])
    return scene, q


def test_slowed_into_a_singularity_and_not_out() -> None:
    scene, q = stretched(0.35)
    jacobian = scene.kinematics.jacobian(q)
    assert 20.0 < condition(jacobian, 0.2) < 40.0
    straighten = np.array([0.0, 0.0, -0.05, 0.0, 0.0, 0.0])
    inwards = jacobian @ straighten
    target = scene.target(q)
    values, reasons = target.accept(inwards, q)
    assert Reason.SINGULARITY in reasons
    assert 0.0 < values @ inwards < 0.9 * (inwards @ inwards)
    target = scene.target(q)
    outwards = -inwards
    values, reasons = target.accept(outwards, q)
    assert values is outwards and reasons is NONE


def test_beyond_the_singular_end_nothing_moves_but_out() -> None:
    scene, q = stretched(0.1)
    jacobian = scene.kinematics.jacobian(q)
    assert condition(jacobian, 0.2) > 40.0
    target = scene.target(q)
    inwards = jacobian @ np.array([0.0, 0.0, -0.02, 0.0, 0.0, 0.0])
    before = target.pose
    values, reasons = target.accept(inwards, q)
    assert reasons == Reason.SINGULARITY
    np.testing.assert_allclose(values, 0.0, atol=1e-12)
    np.testing.assert_array_equal(target.pose, before)
    np.testing.assert_array_equal(settle(target), q)
    _, reasons = target.accept(-inwards, q)
    assert Reason.SINGULARITY not in reasons


def test_refused_leaves_the_target() -> None:
    """Two walls closer together than rounding leave no way at all."""
    shipped = limits("franka_pick")
    scene = Scene("fr3", "tool_delta", changed(shipped, velocity_scale=1e-9))
    target, q = scene.target(), scene.robot.home
    before = target.pose
    values, reasons = target.accept(scene.full([STEP, 0.0, 0.0, TURN]), q)
    assert Reason.JOINT_VELOCITY in reasons
    np.testing.assert_allclose(values[:4], 0.0, atol=1e-9)
    np.testing.assert_allclose(target.pose, before, atol=1e-9)
    np.testing.assert_allclose(settle(target), q, atol=1e-9)


def test_back_retraces_the_poses() -> None:
    scene = SCENES["down"]
    target, q = scene.target(), scene.robot.home
    way = [(target.pose, q)]
    for move in ([0.01, 0.0, 0.0, 0.1], [0.0, 0.01, -0.01, 0.0], [0.005, 0.0, 0.01, -0.1]):
        target.accept(scene.full(move), q)
        q = settle(target)
        way.append((target.pose, q))
    for pose, joints in way[-2::-1]:
        assert target.back()
        np.testing.assert_array_equal(target.pose[:4], pose[:4])
        np.testing.assert_array_equal(settle(target), joints)
    assert not target.back()


def test_push_gives_way_inside_the_limits() -> None:
    scene = Scene("fr3", "tool_delta", limits("franka_pick"))
    target = scene.target()
    before = target.pose
    target.push(np.array([0.0, 0.004, 0.002]))
    np.testing.assert_allclose(target.pose[:3] - before[:3], [0.0, 0.004, 0.002], atol=1e-12)
    q = settle(target)
    np.testing.assert_allclose(scene.kinematics.fk(q).position, target.pose[:3], atol=2e-6)
    edge = scene.down_at(0.699, 0.0, 0.3)
    target = scene.target(edge)
    for _ in range(3):
        target.push(np.array([0.004, 0.0, 0.0]))
        settle(target)
    assert 0.6999 < target.pose[0] <= 0.7 + 1e-9


def test_restart_stands_where_the_robot_is() -> None:
    scene = SCENES["base"]
    target, q = scene.target(), scene.robot.home
    target.accept(scene.full([0.01, 0.01, 0.01, 0.1, 0.1, 0.1]), q)
    elsewhere = q + 0.03
    target.restart(elsewhere)
    np.testing.assert_array_equal(settle(target), elsewhere)
    pose = scene.kinematics.fk(elsewhere)
    np.testing.assert_allclose(target.pose[:3], pose.position, atol=1e-12)
    np.testing.assert_allclose(turned(target.pose), pose.rotation, atol=1e-12)


def test_tightened_limits_hold_from_the_next_action() -> None:
    scene = Scene("fr3", "tool_delta", limits("franka_pick"))
    target, q = scene.target(), scene.robot.home
    move = scene.full([0.015, 0.0, 0.0, 0.0])
    assert target.accept(move, q).reasons is NONE
    q = settle(target)
    target.tighten(changed(scene.limits, tool_speed_max=0.1))
    values, reasons = target.accept(move, q)
    assert reasons == Reason.TOOL_SPEED and values[0] <= 0.1 * PERIOD
    q = settle(target)
    target.tighten(changed(scene.limits, velocity_scale=0.02))
    _, reasons = target.accept(move, q)
    assert Reason.JOINT_VELOCITY in reasons
    strict = Scene("fr3", "tool_delta", changed(scene.limits, velocity_scale=0.02))
    assert Limits(strict, q).velocities(settle(target)).min() >= -1e-8
