"""The robot descriptions load everywhere, are physical, and do not touch themselves at home."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import mujoco
import numpy as np
import pinocchio
import pytest

from vla_rl_nodes.robots.kinematics import Kinematics
from vla_rl_nodes.robots.load import load_robot
from vla_rl_nodes.robots.model import Robot

NAMES = ["fr3", "panda", "ur5e", "go2"]


def at_home(robot: Robot) -> tuple[mujoco.MjModel, mujoco.MjData]:
    model = mujoco.MjModel.from_xml_path(robot.urdf)
    data = mujoco.MjData(model)
    for name, value in zip(robot.joints, robot.home, strict=True):
        data.joint(name).qpos[0] = value
    for name in robot.gripper.joints if robot.gripper else []:
        data.joint(name).qpos[0] = 0.02
    mujoco.mj_forward(model, data)
    return model, data


@pytest.mark.parametrize("name", NAMES)
def test_no_link_touches_another_at_home(name: str) -> None:
    model, data = at_home(load_robot(name))
    touching = [
        tuple(model.geom(int(g)).name for g in data.contact.geom[i]) for i in range(data.ncon)
    ]
    assert touching == []
    assert model.ngeom > 6


@pytest.mark.parametrize(
    ("name", "frame"), [("fr3", None), ("panda", None), ("ur5e", None), ("go2", "RR_foot")]
)
def test_the_simulator_and_the_kinematics_agree_on_the_tool(name: str, frame: str | None) -> None:
    robot = load_robot(name)
    _, data = at_home(robot)
    pose = Kinematics(robot).fk(robot.home, frame)
    body = data.body(frame or robot.tool_frame)
    np.testing.assert_allclose(body.xpos, pose.position, atol=1e-9)
    np.testing.assert_allclose(body.xmat.reshape(3, 3), pose.rotation, atol=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_inertias_are_physical(name: str) -> None:
    robot = load_robot(name)
    model, _ = at_home(robot)
    heavy = model.body_mass > 0
    inertia = model.body_inertia[heavy]
    assert heavy.sum() >= len(robot.joints)
    assert (inertia > 0).all()
    assert (inertia.sum(axis=1) >= 2 * inertia.max(axis=1) - 1e-12).all()  # triangle rule


def test_masses_are_the_published_ones() -> None:
    fr3 = mujoco.MjModel.from_xml_path(load_robot("fr3").urdf)
    links = [float(fr3.body(f"fr3_link{i}").mass[0]) for i in range(8)]
    assert links == [2.397, 2.927, 2.936, 2.245, 2.616, 2.327, 1.817, 0.627]
    assert float(fr3.body("fr3_hand").mass[0]) == 0.654
    panda = mujoco.MjModel.from_xml_path(load_robot("panda").urdf)
    links = [float(panda.body(f"panda_link{i}").mass[0]) for i in range(8)]
    assert links == [2.3966, 2.7907, 2.542, 2.2513, 2.2037, 2.2855, 1.353, 0.35973]
    assert float(panda.body("panda_hand").mass[0]) == 0.6544
    ur5e = mujoco.MjModel.from_xml_path(load_robot("ur5e").urdf)
    assert float(ur5e.body_mass.sum()) == pytest.approx(21.7)
    go2 = mujoco.MjModel.from_xml_path(load_robot("go2").urdf)
    assert float(go2.body_mass.sum()) == pytest.approx(16.1)


@pytest.mark.parametrize("name", NAMES)
def test_the_urdf_and_the_description_state_the_same_limits(name: str) -> None:
    robot = load_robot(name)
    model = pinocchio.buildModelFromUrdf(robot.urdf)
    index = [model.joints[model.getJointId(joint)].idx_v for joint in robot.joints]
    np.testing.assert_allclose(model.lowerPositionLimit[index], robot.position_min, atol=1e-12)
    np.testing.assert_allclose(model.upperPositionLimit[index], robot.position_max, atol=1e-12)
    np.testing.assert_allclose(model.upperVelocityLimit[index], robot.velocity_max, atol=1e-12)
    np.testing.assert_allclose(model.upperEffortLimit[index], robot.effort_max, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_collision_shapes_are_primitives_with_their_own_names(name: str) -> None:
    tree = ElementTree.parse(load_robot(name).urdf)
    shapes = [child.tag for g in tree.iter("geometry") for child in g]
    assert set(shapes) <= {"box", "cylinder", "sphere"}
    names = [element.get("name") for element in tree.iter("collision")]
    assert None not in names
    assert len(set(names)) == len(names) == len(shapes)


@pytest.mark.parametrize("name", ["fr3", "panda"])
def test_the_pads_meet_at_the_tool_point_and_open_by_twice_the_joint(name: str) -> None:
    robot = load_robot(name)
    model = mujoco.MjModel.from_xml_path(robot.urdf)
    data = mujoco.MjData(model)
    for opening in (0.0, 0.03):
        for joint in (f"{name}_finger_joint1", f"{name}_finger_joint2"):
            data.joint(joint).qpos[0] = opening
        mujoco.mj_forward(model, data)
        tool = data.body(f"{name}_hand_tcp")
        across = tool.xmat.reshape(3, 3)[:, 1]
        left, right = (data.geom(f"{name}_{s}finger_pad").xpos for s in ("left", "right"))
        np.testing.assert_allclose((left + right) / 2, tool.xpos, atol=1e-9)
        thickness = 2 * float(model.geom(f"{name}_leftfinger_pad").size[1])
        assert across @ (left - right) - thickness == pytest.approx(2 * opening, abs=1e-9)
