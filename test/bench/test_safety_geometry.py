"""The judge's own kinematics and distances against pinocchio, MuJoCo and brute force."""

from __future__ import annotations

import mujoco
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from vla_rl_nodes.bench.safety.bounds import read_bounds
from vla_rl_nodes.bench.safety.chain import Chain
from vla_rl_nodes.bench.safety.distance import distance, plane_distance
from vla_rl_nodes.bench.safety.fingers import finger_links, swept
from vla_rl_nodes.bench.safety.shapes import Shape, Solid, read_shapes
from vla_rl_nodes.bench.safety.surroundings import Surroundings
from vla_rl_nodes.resources import resource
from vla_rl_nodes.robots.kinematics import Kinematics
from vla_rl_nodes.robots.load import load_robot

Array = NDArray[np.float64]

PLACES = 120
KINDS = ("box", "cylinder", "round")
GEOMS = {
    "box": mujoco.mjtGeom.mjGEOM_BOX,
    "cylinder": mujoco.mjtGeom.mjGEOM_CYLINDER,
    "round": mujoco.mjtGeom.mjGEOM_CAPSULE,
}


def drawn(kind: str, random: np.random.Generator) -> Shape:
    half = random.uniform(0.02, 0.15, 3)
    if kind != "box":
        half = np.array([0.0, 0.0, half[2]])
    radius = 0.0 if kind == "box" else float(random.uniform(0.02, 0.08))
    return Shape(kind, "link", kind, np.eye(3), np.zeros(3), radius, half)


def somewhere(shape: Shape, random: np.random.Generator) -> tuple[Solid, Array]:
    turns = Rotation.random(PLACES, random)
    centres = random.uniform(-0.2, 0.2, (PLACES, 3))
    return Solid(shape, turns.as_matrix(), centres), turns.as_quat()[:, [3, 0, 1, 2]]


def by_mujoco(one: tuple[Solid, Array], other: tuple[Solid, Array]) -> Array:
    spec = mujoco.MjSpec()
    for solid, _ in (one, other):
        shape = solid.shape
        size = shape.half if shape.kind == "box" else [shape.radius, shape.half[2], 0.0]
        spec.worldbody.add_body(mocap=True).add_geom(type=GEOMS[shape.kind], size=size)
    model = spec.compile()
    model.opt.ccd_tolerance, model.opt.ccd_iterations = 1e-9, 200
    data = mujoco.MjData(model)
    found = np.empty(PLACES)
    for i in range(PLACES):
        for body, (solid, quaternions) in enumerate((one, other)):
            data.mocap_pos[body], data.mocap_quat[body] = solid.centre[i], quaternions[i]
        mujoco.mj_kinematics(model, data)
        found[i] = mujoco.mj_geomDistance(model, data, 0, 1, 10.0, None)
    return found


@pytest.mark.parametrize("first", KINDS)
@pytest.mark.parametrize("second", KINDS)
def test_distances_are_mujocos(first: str, second: str) -> None:
    random = np.random.default_rng(5)
    compared = 0
    for _ in range(4):
        one = somewhere(drawn(first, random), random)
        other = somewhere(drawn(second, random), random)
        ours, theirs = distance(one[0], other[0], 1.0), by_mujoco(one, other)
        apart = theirs > 1e-4
        # Alternating projection is slow where two bodies almost touch.
        np.testing.assert_allclose(ours[apart], theirs[apart], atol=3e-4)
        assert (ours[~apart] < 1e-3).all()
        compared += int(apart.sum())
    assert compared > PLACES


def test_beyond_the_cut_a_distance_is_beyond_it() -> None:
    random = np.random.default_rng(6)
    for first in KINDS:
        for second in KINDS:
            one, _ = somewhere(drawn(first, random), random)
            other, _ = somewhere(drawn(second, random), random)
            exact, cut = distance(one, other, 1.0), distance(one, other, 0.02)
            np.testing.assert_allclose(cut[exact < 0.02], exact[exact < 0.02], atol=1e-4)
            assert (cut[exact > 0.021] > 0.02 - 1e-4).all()


@pytest.mark.parametrize("kind", KINDS)
def test_the_distance_to_a_plane_is_that_of_the_lowest_point(kind: str) -> None:
    random = np.random.default_rng(7)
    solid, _ = somewhere(drawn(kind, random), random)
    normal = np.array([0.48, -0.6, 0.64])
    found = plane_distance(solid, normal, -0.1)
    # Points of the surface: directions of the box's corners, or all around the ends.
    angles = np.linspace(0.0, 2.0 * np.pi, 721)
    shape = solid.shape
    if kind == "box":
        signs = np.array(np.meshgrid(*[[-1, 1]] * 3)).reshape(3, -1).T
        points = signs * shape.half
    elif kind == "cylinder":
        ring = np.stack([np.cos(angles), np.sin(angles), np.zeros_like(angles)], axis=1)
        points = np.concatenate(
            [shape.radius * ring + [0, 0, z] for z in (-shape.half[2], shape.half[2])]
        )
    else:
        local = np.einsum("mki,k->mi", solid.axes, normal)
        ends = np.array([[0, 0, -shape.half[2]], [0, 0, shape.half[2]]])
        lowest = (ends[None] - shape.radius * local[:, None]) @ np.eye(3)
        heights = np.einsum("mik,mek->mei", solid.axes, lowest) + solid.centre[:, None]
        np.testing.assert_allclose(found, (heights @ normal + 0.1).min(axis=1), atol=1e-12)
        return
    world = np.einsum("mik,pk->mpi", solid.axes, points) + solid.centre[:, None]
    np.testing.assert_allclose(found, (world @ normal + 0.1).min(axis=1), atol=2e-6)


@pytest.mark.parametrize("name", ["fr3", "panda", "ur5e", "go2"])
def test_frames_are_pinocchios(name: str) -> None:
    robot = load_robot(name)
    kinematics = Kinematics(robot)
    chain = Chain(robot.urdf, robot.joints, robot.gripper.joints if robot.gripper else ())
    random = np.random.default_rng(8)
    q = random.uniform(robot.position_min, robot.position_max, (40, len(robot.joints)))
    frames = chain.place(q).frames
    names = [robot.tool_frame] if robot.tool_frame else list(robot.feet)
    for frame in names:
        for i in range(len(q)):
            pose = kinematics.fk(q[i], frame)
            np.testing.assert_allclose(frames[frame].position[i], pose.position, atol=1e-12)
            np.testing.assert_allclose(frames[frame].rotation[i], pose.rotation, atol=1e-12)


@pytest.mark.parametrize("name", ["fr3", "ur5e"])
def test_the_tools_velocity_is_the_jacobians(name: str) -> None:
    robot = load_robot(name)
    kinematics, chain = Kinematics(robot), Chain(robot.urdf, robot.joints)
    random = np.random.default_rng(9)
    q = random.uniform(robot.position_min, robot.position_max, (20, len(robot.joints)))
    v = random.standard_normal(q.shape)
    assert robot.tool_frame is not None
    found = chain.point_velocity(chain.place(q), robot.tool_frame, v)
    expected = [kinematics.jacobian(q[i])[:3] @ v[i] for i in range(len(q))]
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_the_fingers_open_by_half_the_width_each() -> None:
    robot = load_robot("fr3")
    assert robot.gripper is not None
    chain = Chain(robot.urdf, robot.joints, robot.gripper.joints)
    frames = chain.place(robot.home[None], np.array([0.06])).frames
    left, right = frames["fr3_leftfinger"].position[0], frames["fr3_rightfinger"].position[0]
    assert float(np.linalg.norm(left - right)) == pytest.approx(0.06)


def test_the_fingers_sweep_one_box() -> None:
    robot = load_robot("fr3")
    assert robot.gripper is not None
    chain = Chain(robot.urdf, robot.joints, robot.gripper.joints)
    shape = swept(chain, read_shapes(chain), 0.08)
    assert shape is not None and shape.link == "fr3_hand"
    # Of the URDF: 21 mm wide, from the joint to 53.8 mm along it, 20.5 mm and half of the opening.
    assert shape.half == pytest.approx([0.0105, 0.0605, 0.0269])
    assert shape.position == pytest.approx([0.0, 0.0, 0.0584 + 0.0269])


@pytest.mark.parametrize("name", ["fr3", "panda"])
def test_what_the_fingers_sweep_is_as_near_as_any_finger(name: str) -> None:
    bounds = read_bounds(
        resource(f"config/robots/{name}.yaml"),
        resource(f"config/safety/{'franka_pick' if name == 'fr3' else name}.yaml"),
        resource(f"urdf/{name}.urdf"),
    )
    around = Surroundings(bounds)
    random = np.random.default_rng(3)
    q = random.uniform(bounds.q_min, bounds.q_max, (400, len(bounds.joints)))
    swept_over = around.swept_pairs(q)
    links = finger_links(around.chain)
    assert links
    fingers = {shape.name for shape in read_shapes(around.chain) if shape.link in links}
    covered = [c for c, pair in enumerate(around.names) if {*pair.split(" and ")} & fingers]
    nearest = np.full((len(q), len(around.names)), np.inf)
    for share in np.linspace(0.0, 1.0, 9):
        pairs = around.rooms(q, np.full(len(q), share * bounds.width_max)).pairs
        nearest = np.minimum(nearest, pairs)
    others = np.setdiff1d(np.arange(len(around.names)), covered)
    np.testing.assert_array_equal(swept_over[:, others], nearest[:, others])
    tight = 0
    for left, found in zip(swept_over[:, covered].T, nearest[:, covered].T, strict=True):
        close = (left < 0.0) | (found < 0.0)
        assert (left[close] <= found[close] + 1e-6).all()
        tight += int((found[close] < left[close] + 1e-4).sum())
    assert tight > 20  # a corner of the box is often a finger's


def test_cylinders_with_round_ends_are_capsules() -> None:
    robot = load_robot("fr3")
    kinds = {s.name: s.kind for s in read_shapes(Chain(robot.urdf, robot.joints))}
    assert kinds["fr3_link5_forearm"] == "round"
    assert kinds["fr3_link0_column"] == "cylinder"
    assert kinds["fr3_hand_body"] == "box"
    assert not any(name.endswith("_end_a") for name in kinds)


def test_joints_between_links() -> None:
    robot = load_robot("go2")
    chain = Chain(robot.urdf, robot.joints)
    assert chain.way("FL_foot") == ("FL_hip_joint", "FL_thigh_joint", "FL_calf_joint")
    assert chain.joints_between("FL_calf", "FR_thigh") == 5
    assert chain.joints_between("base", "RR_hip") == 1
