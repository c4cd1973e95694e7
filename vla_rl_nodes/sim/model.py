"""The MuJoCo model of a robot in a scene, built from the URDF that the kinematics also read."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import mujoco

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.robots.model import Gripper, Robot
from vla_rl_nodes.sim.scene import Scene
from vla_rl_nodes.sim.surroundings import add_surroundings, harden

TIMESTEP_S = 0.002  # 500 Hz physics
GRASP_FORCE_N = 40.0  # with which each finger presses, or the gripper's greatest force if smaller
FINGER_FRICTION = 1.5
GRIPPER_ACTUATOR = "gripper_width"
LARGEST_PICTURE = (640, 480)  # off-screen buffer, for pictures in reports

_LIGHT_SHELL = (0.88, 0.89, 0.91, 1.0)
_DARK_SHELL = (0.30, 0.33, 0.37, 1.0)
_HAND = (0.16, 0.34, 0.58, 1.0)
_FINGER = (0.13, 0.14, 0.17, 1.0)
_PAD = (0.96, 0.78, 0.18, 1.0)


def build_model(robot: Robot, scene: Scene) -> mujoco.MjModel:
    """The compiled model: robot, table, floor, lamps, cameras, objects and actuators.

    The world frame is the robot's base frame for an arm, and a robot with a floating base gets a
    free joint. Actuators are in the order of ``robot.joints``; a gripper adds one for its width.

    Raises:
        InputError: the URDF cannot be read or does not compile, or a camera's body is not in it.
    """
    spec = robot_spec(robot)
    _set_options(spec, scene)
    _dress(spec, robot)
    add_surroundings(spec, scene)
    try:
        model: mujoco.MjModel = spec.compile()
    except ValueError as error:
        raise InputError(robot.urdf, f"does not compile: {error}", "correct the URDF") from error
    return model


def robot_spec(robot: Robot) -> mujoco.MjSpec:
    """The robot with servos on its joints, alone in the world, to be added to and compiled.

    Raises:
        InputError: the URDF cannot be read, or lacks one of the robot's joints.
    """
    spec = _read_urdf(robot)
    _exclude_neighbours(spec, robot)
    for body in spec.worldbody.find_all(mujoco.mjtObj.mjOBJ_BODY):
        body.gravcomp = 1.0 if robot.gravity_compensation else 0.0
    for axis in robot.axes:
        _add_servo(spec, axis.name, axis.servo.kp, axis.servo.kd, axis.servo.armature, axis.effort)
    if robot.gripper is not None:
        _add_gripper(spec, robot.gripper)
    return spec


def _read_urdf(robot: Robot) -> mujoco.MjSpec:
    """The URDF with a joint between world and base, which MuJoCo else merges into one body."""
    try:
        tree = ET.parse(robot.urdf).getroot()
    except (OSError, ET.ParseError) as error:
        raise InputError(robot.urdf, f"cannot be read: {error}", "correct the URDF") from error
    tree.append(ET.Element("link", name="world"))
    joint = ET.SubElement(
        tree, "joint", name="base_joint", type="floating" if robot.floating_base else "fixed"
    )
    ET.SubElement(joint, "parent", link="world")
    ET.SubElement(joint, "child", link=robot.base_frame)
    try:
        spec = mujoco.MjSpec.from_string(ET.tostring(tree, encoding="unicode"))
    except ValueError as error:
        raise InputError(robot.urdf, f"does not load: {error}", "correct the URDF") from error
    for name in (*robot.joints, *(robot.gripper.joints if robot.gripper else ())):
        if spec.joint(name) is None:
            raise InputError(robot.urdf, f"has no joint '{name}'", "make URDF and robot agree")
    return spec


def _set_options(spec: mujoco.MjSpec, scene: Scene) -> None:
    spec.option.timestep = TIMESTEP_S
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    # Without these a grasped cube creeps out of the fingers.
    spec.option.cone = mujoco.mjtCone.mjCONE_ELLIPTIC
    spec.option.impratio = 5.0
    # MuJoCo would put everything back to its start without a word when the physics diverges.
    spec.option.disableflags |= mujoco.mjtDisableBit.mjDSBL_AUTORESET
    # The shadow map is what makes rendering slow; multisampling costs time and hides nothing.
    spec.visual.quality.shadowsize = 0
    spec.visual.quality.offsamples = 0
    spec.visual.global_.offwidth = max(LARGEST_PICTURE[0], scene.images.width)
    spec.visual.global_.offheight = max(LARGEST_PICTURE[1], scene.images.height)
    spec.visual.headlight.ambient = [0.45, 0.45, 0.45]
    spec.visual.headlight.diffuse = [0.20, 0.20, 0.20]
    spec.visual.headlight.specular = [0.0, 0.0, 0.0]
    spec.visual.map.znear = 0.01
    spec.stat.extent = 1.0


def _dress(spec: mujoco.MjSpec, robot: Robot) -> None:
    """Colours that tell links, hand, fingers and pads apart, and the fingers' friction."""
    finger_joints = robot.gripper.joints if robot.gripper else []
    fingers = [spec.joint(name).parent for name in finger_joints]
    finger_names = {body.name for body in fingers}
    hand_names = {body.parent.name for body in fingers}
    shade = 0
    for body in spec.bodies:
        geoms = list(body.geoms)
        if not geoms:
            continue
        shade += 1
        colour = _LIGHT_SHELL if shade % 2 else _DARK_SHELL
        if body.name in hand_names:
            colour = _HAND
        for geom in geoms:
            geom.rgba = colour
            if body.name in finger_names:
                geom.rgba = _PAD if geom.name.endswith("_pad") else _FINGER
                geom.friction = [FINGER_FRICTION, 0.02, 0.0005]
                harden(geom)


def _exclude_neighbours(spec: mujoco.MjSpec, robot: Robot) -> None:
    """No contact between bodies that few of the robot's joints join: their shapes overlap."""
    paths: dict[str, list[str]] = {}
    for body in spec.bodies:
        if body.name == "world":
            continue
        upper = paths.get(body.parent.name, [])
        moved = any(joint.name in robot.joints for joint in body.joints)
        paths[body.name] = [*upper, body.name] if moved else upper
    names = [body.name for body in spec.bodies if list(body.geoms) and body.name in paths]
    for index, one in enumerate(names):
        for other in names[index + 1 :]:
            a, b = paths[one], paths[other]
            shared = sum(1 for x, y in zip(a, b, strict=False) if x == y)
            if len(a) + len(b) - 2 * shared <= robot.collision.neighbours:
                spec.add_exclude(bodyname1=one, bodyname2=other)


def _add_servo(
    spec: mujoco.MjSpec, joint: str, kp: float, kd: float, armature: float, effort: float
) -> None:
    spec.joint(joint).armature = armature
    servo = spec.add_actuator(
        name=joint, target=joint, trntype=mujoco.mjtTrn.mjTRN_JOINT, forcerange=[-effort, effort]
    )
    servo.set_to_position(kp=kp, kv=kd)


def _add_gripper(spec: mujoco.MjSpec, gripper: Gripper) -> None:
    """One servo on the opening width; the fingers are coupled as by the hand's belt."""
    left, right = gripper.joints
    width = spec.add_tendon(name=GRIPPER_ACTUATOR)
    for joint in (left, right):
        width.wrap_joint(joint, 1.0)
        spec.joint(joint).armature = gripper.servo.armature
    coupling = spec.add_equality(
        type=mujoco.mjtEq.mjEQ_JOINT, name1=left, name2=right, objtype=mujoco.mjtObj.mjOBJ_JOINT
    )
    coupling.data[:5] = [0.0, 1.0, 0.0, 0.0, 0.0]
    coupling.solref = [0.006, 1.0]
    force = min(GRASP_FORCE_N, gripper.force_max)
    servo = spec.add_actuator(
        name=GRIPPER_ACTUATOR,
        target=GRIPPER_ACTUATOR,
        trntype=mujoco.mjtTrn.mjTRN_TENDON,
        forcerange=[-force, force],
    )
    # The gains are per finger, which moves half of what the width does.
    servo.set_to_position(kp=gripper.servo.kp / 2.0, kv=gripper.servo.kd / 2.0)
