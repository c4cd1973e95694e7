"""Kinematics against independent formulas, and inverse kinematics that comes back."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.resources import resource
from vla_rl_nodes.robots.kinematics import Kinematics
from vla_rl_nodes.robots.load import load_robot
from vla_rl_nodes.robots.model import Robot
from vla_rl_nodes.robots.tool_frame import rotation_from_yaw, yaw_from_rotation

Robots = dict[str, tuple[Robot, Kinematics]]
HALF = math.pi / 2
# Published tables: (a, d, alpha) per joint.
FRANKA_CRAIG = [
    (0, 0.333, 0), (0, 0, -HALF), (0, 0.316, HALF), (0.0825, 0, HALF), (-0.0825, 0.384, -HALF),
    (0, 0, HALF), (0.088, 0, HALF),
]  # fmt: skip
UR5E_STANDARD = [
    (0, 0.1625, HALF), (-0.425, 0, 0), (-0.3922, 0, 0), (0, 0.1333, HALF), (0, 0.0997, -HALF),
    (0, 0.0996, 0),
]  # fmt: skip

FR3 = load_robot("fr3")
FR3_KINEMATICS = Kinematics(FR3)
WORK_AREA = st.tuples(
    st.floats(0.3, 0.65), st.floats(-0.25, 0.25), st.floats(0.02, 0.5), st.floats(-1.0, 1.0)
)


def screw(axis: int, angle: float, shift: float) -> np.ndarray:
    """Turn about and move along one axis (0 = x, 2 = z): a 4x4 transform."""
    i, j = (1, 2) if axis == 0 else (0, 1)
    t = np.eye(4)
    t[i, i] = t[j, j] = math.cos(angle)
    t[j, i], t[i, j] = math.sin(angle), -math.sin(angle)
    t[axis, 3] = shift
    return t


def random_q(robot: Robot, count: int) -> np.ndarray:
    rng = np.random.default_rng(20)
    return rng.uniform(robot.position_min, robot.position_max, (count, len(robot.joints)))


@pytest.mark.parametrize("name", ["fr3", "panda"])
def test_franka_forward_kinematics_is_the_published_craig_table(robots: Robots, name: str) -> None:
    robot, kinematics = robots[name]
    for q in random_q(robot, 300):
        expected = np.eye(4)
        for (a, d, alpha), theta in zip(FRANKA_CRAIG, q, strict=True):
            expected = expected @ screw(0, alpha, a) @ screw(2, theta, d)
        flange = expected @ screw(2, 0.0, 0.107)
        tool = flange @ screw(2, -math.pi / 4, 0.1034)
        for frame, wanted in ((f"{name}_link8", flange), (None, tool)):
            pose = kinematics.fk(q, frame)
            np.testing.assert_allclose(pose.position, wanted[:3, 3], atol=1e-6)
            np.testing.assert_allclose(pose.rotation, wanted[:3, :3], atol=1e-6)


def test_ur5e_forward_kinematics_is_the_published_standard_table(robots: Robots) -> None:
    robot, kinematics = robots["ur5e"]
    for q in random_q(robot, 300):
        expected = screw(2, math.pi, 0.0)  # base_link to the controller's base
        for (a, d, alpha), theta in zip(UR5E_STANDARD, q, strict=True):
            expected = expected @ screw(2, theta, d) @ screw(0, alpha, a)
        pose = kinematics.fk(q)
        np.testing.assert_allclose(pose.position, expected[:3, 3], atol=1e-6)
        np.testing.assert_allclose(pose.rotation, expected[:3, :3], atol=1e-6)


def test_go2_feet_follow_the_closed_form_of_the_leg(robots: Robots) -> None:
    robot, kinematics = robots["go2"]
    for q in random_q(robot, 200):
        for leg, (name, fore, side) in enumerate(
            (("FL", 1, 1), ("FR", 1, -1), ("RL", -1, 1), ("RR", -1, -1))
        ):
            hip, thigh, calf = q[3 * leg : 3 * leg + 3]
            # In the plane of the leg, then turned about x by the hip.
            forward = -0.213 * (math.sin(thigh) + math.sin(thigh + calf))
            down = 0.213 * (math.cos(thigh) + math.cos(thigh + calf))
            out = side * 0.0955
            foot = [
                fore * 0.1934 + forward,
                side * 0.0465 + out * math.cos(hip) + down * math.sin(hip),
                out * math.sin(hip) - down * math.cos(hip),
            ]
            np.testing.assert_allclose(kinematics.fk(q, f"{name}_foot").position, foot, atol=1e-6)


@pytest.mark.parametrize("name", ["fr3", "panda", "ur5e"])
def test_the_jacobian_is_the_derivative_of_the_tool_pose(robots: Robots, name: str) -> None:
    robot, kinematics = robots[name]
    h = 1e-6
    for q in random_q(robot, 20):
        jacobian = kinematics.jacobian(q)
        assert jacobian.shape == (6, len(q))
        for i in range(len(q)):
            step = np.zeros(len(q))
            step[i] = h
            a, b = kinematics.fk(q - step), kinematics.fk(q + step)
            spin = (b.rotation - a.rotation) / (2 * h) @ kinematics.fk(q).rotation.T
            np.testing.assert_allclose(
                jacobian[:3, i], (b.position - a.position) / (2 * h), atol=1e-8
            )
            np.testing.assert_allclose(
                jacobian[3:, i], [spin[2, 1], spin[0, 2], spin[1, 0]], atol=1e-8
            )


def test_tool_points_are_the_tool_positions_along_a_path(robots: Robots) -> None:
    robot, kinematics = robots["fr3"]
    path = random_q(robot, 40)
    expected = [kinematics.fk(q).position for q in path]
    np.testing.assert_allclose(kinematics.tool_points(path), expected, atol=1e-12)


@pytest.mark.parametrize("name", ["fr3", "panda", "ur5e"])
def test_home_points_the_tool_down_at_yaw_zero(robots: Robots, name: str) -> None:
    robot, kinematics = robots[name]
    pose = kinematics.fk(robot.home)
    np.testing.assert_allclose(pose.rotation, rotation_from_yaw(0.0), atol=1e-9)
    assert yaw_from_rotation(pose.rotation) == pytest.approx(0.0, abs=1e-9)


@settings(max_examples=300, deadline=None)
@given(WORK_AREA)
def test_inverse_kinematics_reaches_the_whole_work_area(
    target: tuple[float, float, float, float],
) -> None:
    position, rotation = np.array(target[:3]), rotation_from_yaw(target[3])
    result = FR3_KINEMATICS.solve(FR3.home, position, rotation)
    assert result.converged
    assert (result.q >= FR3.position_min).all() and (result.q <= FR3.position_max).all()
    pose = FR3_KINEMATICS.fk(result.q)
    np.testing.assert_allclose(pose.position, position, atol=1e-5)
    np.testing.assert_allclose(pose.rotation, rotation, atol=1e-5)
    assert result.position_error == pytest.approx(
        float(np.linalg.norm(pose.position - position)), abs=1e-12
    )


@settings(max_examples=150, deadline=None)
@given(WORK_AREA, st.lists(st.floats(-1, 1), min_size=4, max_size=4))
def test_a_small_change_of_pose_is_a_small_change_of_joints(
    target: tuple[float, float, float, float], direction: list[float]
) -> None:
    # From a settled solution, 1 mm and 1 mrad; the null space's pull is told apart by asking
    # for the present shape.
    position, yaw = np.array(target[:3]), target[3]
    q = FR3_KINEMATICS.solve(FR3.home, position, rotation_from_yaw(yaw)).q
    moved = FR3_KINEMATICS.solve(
        q,
        position + 1e-3 * np.array(direction[:3]),
        rotation_from_yaw(yaw + 1e-3 * direction[3]),
        posture=q,
        iterations=8,
    )
    assert moved.converged
    jacobian = FR3_KINEMATICS.jacobian(q)
    weakest = np.linalg.svd(jacobian, compute_uv=False)[-1]
    asked = np.linalg.norm([*direction[:3], direction[3]]) * 1e-3 + 4e-6  # and four tolerances
    assert np.linalg.norm(moved.q - q) <= 1.5 * asked / weakest


def test_repeated_solving_settles_in_one_shape_near_the_posture() -> None:
    rotation = rotation_from_yaw(0.0)
    position = np.array([0.45, 0.1, 0.3])
    start = FR3_KINEMATICS.solve(FR3.home + np.array([0, 0, 0.8, 0, 0, 0, 0]), position, rotation)
    q = start.q
    for _ in range(800):
        previous, result = q, FR3_KINEMATICS.solve(q, position, rotation)
        assert result.converged
        q = result.q
        assert np.abs(q - previous).max() < 0.03
    assert np.abs(q - previous).max() < 1e-5
    assert np.linalg.norm(q - FR3.home) < np.linalg.norm(start.q - FR3.home) - 0.1


def test_an_unreachable_pose_is_told_and_stays_inside_the_limits() -> None:
    result = FR3_KINEMATICS.solve(FR3.home, np.array([1.5, 0.0, 0.3]), rotation_from_yaw(0.0))
    assert not result.converged
    assert result.position_error > 0.5
    assert (result.q >= FR3.position_min).all() and (result.q <= FR3.position_max).all()


def test_a_joint_at_its_limit_is_worked_around() -> None:
    # Joint 1 begins at its limit and the target pulls it further out.
    start = FR3.home.copy()
    start[0] = FR3.position_max[0]
    pose = FR3_KINEMATICS.fk(start)
    turn = 0.05
    c, s = math.cos(turn), math.sin(turn)
    about_z = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    result = FR3_KINEMATICS.solve(start, about_z @ pose.position, about_z @ pose.rotation)
    assert result.converged
    assert result.q[0] <= FR3.position_max[0]


def test_a_robot_without_a_tool_needs_a_frame(robots: Robots) -> None:
    robot, kinematics = robots["go2"]
    with pytest.raises(InputError, match="go2: has no tool frame; name a frame"):
        kinematics.fk(robot.home)
    with pytest.raises(InputError, match="has no frame tail"):
        kinematics.fk(robot.home, "tail")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("name: fr3_joint7", "name: fr3_joint9", "has no joint fr3_joint9"),
        ("tool_frame: fr3_hand_tcp", "tool_frame: fr3_tip", "has no frame fr3_tip"),
        ("base_frame: fr3_link0", "base_frame: fr3_link3", "is not where the tree begins"),
        ("position: [-1.8361, 1.8361]", "position: [-1.9, 1.8361]", "narrow the description"),
    ],
)
def test_a_description_that_does_not_fit_its_urdf_is_refused(
    tmp_path: Path, old: str, new: str, said: str
) -> None:
    text = resource("config/robots/fr3.yaml").read_text()
    (tmp_path / "arm.yaml").write_text(text.replace(old, new, 1))
    with pytest.raises(InputError, match=said):
        Kinematics(load_robot(tmp_path / "arm.yaml"))


def test_a_broken_urdf_is_one_line(tmp_path: Path) -> None:
    text = resource("config/robots/fr3.yaml").read_text()
    (tmp_path / "arm.yaml").write_text(text.replace("urdf/fr3.urdf", "arm.urdf"))
    (tmp_path / "arm.urdf").write_text("<robot name='x'>")
    with pytest.raises(InputError, match="is no usable URDF") as raised:
        Kinematics(load_robot(tmp_path / "arm.yaml"))
    assert "\n" not in str(raised.value)
