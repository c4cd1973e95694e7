"""The model: options, actuators, excluded contacts, and what a wrong URDF or camera gives."""

from __future__ import annotations

from pathlib import Path

import mujoco
import numpy as np
import pytest

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.robots.kinematics import Kinematics
from vla_rl_nodes.robots.load import load_robot
from vla_rl_nodes.robots.model import Robot
from vla_rl_nodes.sim.model import FINGER_FRICTION, GRASP_FORCE_N, build_model
from vla_rl_nodes.sim.scene import Scene, load_scene
from vla_rl_nodes.sim.world import World


def contacts_at(model: mujoco.MjModel, joints: dict[str, float]) -> set[frozenset[str]]:
    data = mujoco.MjData(model)
    for name, position in joints.items():
        data.qpos[model.joint(name).qposadr[0]] = position
    mujoco.mj_forward(model, data)
    return {
        frozenset(model.body(model.geom_bodyid[geom]).name for geom in pair)
        for pair in data.contact.geom[: data.ncon]
    }


def test_physics_options(world: World) -> None:
    option = world.model.opt
    assert option.timestep == 0.002
    assert option.cone == mujoco.mjtCone.mjCONE_ELLIPTIC
    assert option.impratio == 5.0
    assert world.model.vis.quality.shadowsize == world.model.vis.quality.offsamples == 0


def test_actuators_have_the_robots_gains_and_limits(world: World, fr3: Robot) -> None:
    model = world.model
    assert model.nu == 8
    for index, axis in enumerate(fr3.axes):
        assert model.actuator(index).name == axis.name
        np.testing.assert_allclose(model.actuator_gainprm[index, 0], axis.servo.kp)
        np.testing.assert_allclose(
            model.actuator_biasprm[index, :3], [0.0, -axis.servo.kp, -axis.servo.kd]
        )
        np.testing.assert_allclose(model.actuator_forcerange[index], [-axis.effort, axis.effort])
        joint = model.joint(axis.name)
        np.testing.assert_allclose(joint.range, axis.position, atol=1e-4)
        np.testing.assert_allclose(model.dof_armature[joint.dofadr[0]], axis.servo.armature)
    np.testing.assert_allclose(model.actuator_forcerange[7], [-GRASP_FORCE_N, GRASP_FORCE_N])


def test_fingers_grip_and_only_they(world: World) -> None:
    sliding = world.model.geom_friction[:, 0]
    sticky = {
        world.model.body(world.model.geom_bodyid[geom]).name
        for geom in np.flatnonzero(sliding == FINGER_FRICTION)
    }
    assert sticky == {"fr3_leftfinger", "fr3_rightfinger"}


@pytest.mark.parametrize(
    ("name", "scene"),
    [("fr3", "franka_pick"), ("panda", "table"), ("ur5e", "table"), ("go2", "floor")],
)
def test_no_link_touches_another_at_home(name: str, scene: str) -> None:
    robot = load_robot(name)
    model = build_model(robot, load_scene(scene))
    home = dict(zip(robot.joints, robot.home, strict=True))
    assert all("world" in pair for pair in contacts_at(model, home))


def test_distant_links_do_collide(world: World, fr3: Robot) -> None:
    folded = dict(zip(fr3.joints, fr3.home, strict=True)) | {
        "fr3_joint2": -1.7, "fr3_joint4": -3.0, "fr3_joint6": 0.5,
    }  # fmt: skip
    assert contacts_at(world.model, folded) - {frozenset({"world", "cube"})}


def test_same_kinematics_as_pinocchio(world: World, fr3: Robot) -> None:
    rng = np.random.default_rng(5)
    kinematics = Kinematics(fr3)
    q = rng.uniform(fr3.position_min, fr3.position_max, (20, 7))
    start = world.model.joint("fr3_joint1").qposadr[0]
    for row in q:
        world.data.qpos[start : start + 7] = row
        position, rotation = world.tool_pose()
        pose = kinematics.fk(row)
        np.testing.assert_allclose(position, pose.position, atol=1e-9)
        np.testing.assert_allclose(rotation, pose.rotation, atol=1e-9)


def test_unreadable_urdf_is_one_line(tmp_path: Path, fr3: Robot, pick: Scene) -> None:
    broken = tmp_path / "broken.urdf"
    broken.write_text("<robot name='x'><link", encoding="utf-8")
    for urdf in (broken, tmp_path / "missing.urdf"):
        with pytest.raises(InputError, match="cannot be read") as caught:
            build_model(fr3.model_copy(update={"urdf": str(urdf)}), pick)
        assert "\n" not in str(caught.value)


def test_urdf_of_another_robot_is_refused(fr3: Robot, pick: Scene) -> None:
    other = load_robot("ur5e").urdf
    with pytest.raises(InputError, match=r"does not load|has no joint"):
        build_model(fr3.model_copy(update={"urdf": other}), pick)


def test_camera_on_an_unknown_body_is_refused(fr3: Robot, pick: Scene) -> None:
    camera = pick.cameras[1].model_copy(update={"body": "elbow"})
    with pytest.raises(InputError, match="'elbow' is not in the URDF"):
        build_model(fr3, pick.model_copy(update={"cameras": [camera]}))


def test_camera_along_its_up_is_refused(fr3: Robot, pick: Scene) -> None:
    camera = pick.cameras[0].model_copy(
        update={"position_m": [0.5, 0.0, 1.0], "target_m": [0.5, 0.0, 0.0]}
    )
    with pytest.raises(InputError, match="looks along its 'up'"):
        build_model(fr3, pick.model_copy(update={"cameras": [camera]}))
