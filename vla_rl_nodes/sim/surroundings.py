"""What stands around the robot, as parts of its MuJoCo model."""

from __future__ import annotations

import mujoco
import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.sim.scene import Camera, CubeObject, Scene

# Time constant (s) and damping of contacts in the grasp: the stiffest that 2 ms steps allow.
HARD = (0.004, 1.0)


def harden(geom: mujoco.MjsGeom) -> None:
    """Contacts that resist turning and give way by tenths of a millimetre under the grasp."""
    geom.condim = 4
    geom.solref = HARD
    geom.solimp = [0.97, 0.995, 0.001, 0.5, 2.0]


def add_surroundings(spec: mujoco.MjSpec, scene: Scene) -> None:
    """Adds floor, table, lamps, background, objects and cameras to a robot's model.

    Raises:
        InputError: a camera's body is not in the model, or it looks along its own ``up``.
    """
    _add_surfaces(spec, scene)
    _add_lamps(spec, scene)
    for thing in scene.objects:
        _add_cube(spec, thing, scene.support_m)
    for camera in scene.cameras:
        _add_camera(spec, camera, scene)


def _add_surfaces(spec: mujoco.MjSpec, scene: Scene) -> None:
    world = spec.worldbody
    spec.add_texture(
        name="background",
        type=mujoco.mjtTexture.mjTEXTURE_SKYBOX,
        builtin=mujoco.mjtBuiltin.mjBUILTIN_FLAT,
        rgb1=scene.background,
        rgb2=scene.background,
        width=16,
        height=16 * 6,
    )
    world.add_geom(
        name="floor",
        type=mujoco.mjtGeom.mjGEOM_PLANE,
        pos=[0.0, 0.0, scene.floor.height_m],
        size=[5.0, 5.0, 0.1],
        rgba=[*scene.floor.colour, 1.0],
    )
    table = scene.table
    if table is not None:
        x, y, z = (length / 2.0 for length in table.size_m)
        world.add_geom(
            name="table",
            type=mujoco.mjtGeom.mjGEOM_BOX,
            pos=[*table.centre_m, table.height_m - z],
            size=[x, y, z],
            rgba=[*table.colour, 1.0],
        )


def _add_lamps(spec: mujoco.MjSpec, scene: Scene) -> None:
    for lamp in scene.lamps:
        direction = np.array(lamp.target_m) - np.array(lamp.position_m)
        spec.worldbody.add_light(
            pos=lamp.position_m,
            dir=direction / np.linalg.norm(direction),
            type=mujoco.mjtLightType.mjLIGHT_DIRECTIONAL,
            castshadow=False,
            diffuse=lamp.diffuse,
            ambient=[0.0, 0.0, 0.0],
            specular=[0.0, 0.0, 0.0],
        )


def _add_cube(spec: mujoco.MjSpec, thing: CubeObject, support_m: float) -> None:
    half = thing.edge_m / 2.0
    x, y = thing.spawn.centre_m
    body = spec.worldbody.add_body(name=thing.name, pos=[x, y, support_m + half])
    body.add_freejoint(name=thing.name)
    geom = body.add_geom(
        name=thing.name,
        type=mujoco.mjtGeom.mjGEOM_BOX,
        size=[half, half, half],
        mass=thing.mass_kg,
        friction=[thing.friction, 0.02, 0.0005],
        rgba=[*thing.colour, 1.0],
    )
    harden(geom)


def _add_camera(spec: mujoco.MjSpec, camera: Camera, scene: Scene) -> None:
    body = spec.worldbody if camera.body == "world" else spec.body(camera.body)
    if body is None:
        place = f"scene {scene.name}: camera {camera.name}"
        raise InputError(place, f"its body '{camera.body}' is not in the URDF", "name one that is")
    quaternion = np.zeros(4)
    mujoco.mju_mat2Quat(quaternion, _camera_axes(camera).ravel())
    body.add_camera(name=camera.name, pos=camera.position_m, quat=quaternion, fovy=camera.fovy_deg)


def _camera_axes(camera: Camera) -> NDArray[np.float64]:
    """Rotation [3, 3] of a camera that looks along its -z, with its y upwards in the image."""
    back = np.array(camera.position_m) - np.array(camera.target_m)
    right = np.cross(np.array(camera.up), back)
    if np.linalg.norm(right) < 1e-6 * max(1.0, float(np.linalg.norm(back))):
        raise InputError(f"camera {camera.name}", "looks along its 'up'", "turn one of them")
    axes = np.stack([right, np.cross(back, right), back], axis=1)
    columns: NDArray[np.float64] = axes / np.linalg.norm(axes, axis=0)
    return columns
