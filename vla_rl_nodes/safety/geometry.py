"""The robot's shape and what surrounds it, as pairs of primitives whose distance matters."""

from __future__ import annotations

from itertools import combinations, product
from typing import Any, NamedTuple

import coal
import numpy as np
import pinocchio
from numpy.typing import NDArray

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.robots.model import Robot
from vla_rl_nodes.safety.limits import SafetyLimits
from vla_rl_nodes.safety.reasons import Reason

Array = NDArray[np.float64]

SAME = 1e-6  # m, below this two centres, or a centre and a segment's end, are one


class Pair(NamedTuple):
    """Two parts that must keep a distance.

    Attributes:
        names: of the two links, or of a link and a plane or an obstacle.
        joints: parent joint of each part in the model; 0 for what does not move.
        margin: least distance, m.
        reason: SELF_COLLISION or COLLISION.
        levers: [n] bound of how fast the distance changes with each joint, m/rad.
    """

    names: tuple[str, str]
    joints: tuple[int, int]
    margin: float
    reason: Reason
    levers: Array


class Shape(NamedTuple):
    """A pinocchio model of the robot's joints, its primitives, and the pairs that matter, in the
    order of the geometry model's collision pairs."""

    model: Any
    geometry: Any
    pairs: tuple[Pair, ...]


def build_shape(robot: Robot, limits: SafetyLimits) -> Shape:
    """Reads the URDF's primitives and pairs them.

    A cylinder with a sphere at each end is one capsule. The fingers of a gripper are one box
    around all that they sweep between closed and open. Parts that few joints join
    (``robot.collision.neighbours``) overlap by design and are not paired; what does not move is
    not paired with what surrounds it.

    Raises:
        InputError: the URDF cannot be read, a shape is no primitive, or a tool link is unknown.
    """
    model, parts = _parts(robot)
    geometry = pinocchio.GeometryModel()
    for part in parts:
        geometry.addGeometryObject(part)
    reach = [_reach(part) for part in parts]
    links = [_link(part) for part in parts]
    unknown = set(robot.collision.tool_links) - {n for part in parts for n in _members(part)}
    if unknown:
        raise InputError(
            f"robot {robot.name}: collision.tool_links",
            f"{', '.join(sorted(unknown))} has no collision shape in the URDF",
            "name links that have one",
        )
    pairs: list[Pair] = []
    for i, k in combinations(range(len(parts)), 2):
        between = _between(model, parts[i].parentJoint, parts[k].parentJoint)
        if len(between) <= robot.collision.neighbours:
            continue
        levers = np.zeros(model.nv)
        for index in (i, k):
            levers += _levers(model, parts[index].parentJoint, reach[index], between)
        geometry.addCollisionPair(pinocchio.CollisionPair(i, k))
        pairs.append(
            Pair(
                (links[i], links[k]),
                (int(parts[i].parentJoint), int(parts[k].parentJoint)),
                limits.self_collision_margin, Reason.SELF_COLLISION, levers,
            )
        )  # fmt: skip
    tools = [any(n in robot.collision.tool_links for n in _members(part)) for part in parts]
    for name, shape, placement, margins in _surroundings(limits):
        index = geometry.addGeometryObject(pinocchio.GeometryObject(name, 0, 0, placement, shape))
        for i, part in enumerate(parts):
            joint = int(part.parentJoint)
            if joint == 0:
                continue
            geometry.addCollisionPair(pinocchio.CollisionPair(i, index))
            levers = _levers(model, joint, reach[i], _between(model, 0, joint))
            margin = margins[1] if tools[i] else margins[0]
            pairs.append(Pair((links[i], name), (joint, 0), margin, Reason.COLLISION, levers))
    return Shape(model, geometry, tuple(pairs))


def _parts(robot: Robot) -> tuple[Any, list[Any]]:
    try:
        full = pinocchio.buildModelFromUrdf(robot.urdf)
        found = pinocchio.buildGeomFromUrdf(full, robot.urdf, pinocchio.GeometryType.COLLISION)
    except (ValueError, RuntimeError) as error:
        raise InputError(robot.urdf, f"has no usable shapes ({error})", "correct it") from error
    fingers = _swept_fingers(robot, full, found)
    locked = [full.getJointId(n) for n in list(full.names)[1:] if n not in robot.joints]
    model, reduced = pinocchio.buildReducedModel(full, found, locked, pinocchio.neutral(full))
    kept = [g for g in reduced.geometryObjects if _link(g) not in _finger_links(robot, full)]
    cylinders = [g for g in kept if isinstance(g.geometry, coal.Cylinder)]
    capsules: set[str] = set()
    spheres: set[str] = set()
    for cylinder in cylinders:
        ends = [g for g in kept if _is_end(g, cylinder)]
        if len(ends) == 2:
            capsules.add(cylinder.name)
            spheres.update(g.name for g in ends)
    parts = []
    for g in kept:
        if g.name in spheres:
            continue
        shape = g.geometry
        if g.name in capsules:
            shape = coal.Capsule(shape.radius, 2.0 * shape.halfLength)
        if not isinstance(shape, coal.Box | coal.Capsule | coal.Cylinder | coal.Sphere):
            raise InputError(
                f"{robot.urdf}: {_link(g)}", "has a collision shape that is no primitive",
                "describe it by boxes, cylinders and spheres",
            )  # fmt: skip
        parts.append(pinocchio.GeometryObject(g.name, g.parentJoint, g.parentFrame, g.placement,
                                              shape))  # fmt: skip
    if fingers is not None:
        joint, placement, box, name = fingers
        parent = 0 if joint == 0 else int(model.getJointId(full.names[joint]))
        offset = pinocchio.SE3.Identity()
        if robot.gripper is not None and parent != joint and full.names[joint] not in robot.joints:
            raise InputError(robot.urdf, "has its fingers on a joint of their own", "fix it")
        parts.append(pinocchio.GeometryObject(name, parent, 0, offset * placement, box))
    return model, parts


def _finger_links(robot: Robot, full: Any) -> set[str]:
    if robot.gripper is None:
        return set()
    joints = {full.getJointId(name) for name in robot.gripper.joints}
    return {
        f.name for f in full.frames
        if f.type == pinocchio.FrameType.BODY and int(f.parentJoint) in joints
    }  # fmt: skip


def _swept_fingers(robot: Robot, full: Any, found: Any) -> tuple[int, Any, Any, str] | None:
    """Joint, placement and box of all that the fingers sweep, and ``+``-joined link names."""
    if robot.gripper is None:
        return None
    corners: list[Array] = []
    links = []
    fingers = [int(full.getJointId(name)) for name in robot.gripper.joints]
    hand = int(full.parents[fingers[0]])
    data, q = full.createData(), pinocchio.neutral(full)
    for travel in (0.0, robot.gripper.width_max / 2.0):
        for finger in fingers:
            q[full.joints[finger].idx_q] = travel
        pinocchio.forwardKinematics(full, data, q)
        from_world = data.oMi[hand].inverse()
        for g in found.geometryObjects:
            if int(g.parentJoint) not in fingers:
                continue
            if not isinstance(g.geometry, coal.Box):
                raise InputError(f"{robot.urdf}: {_link(g)}", "is a finger but no box",
                                 "describe fingers by boxes")  # fmt: skip
            links.append(_link(g))
            half = np.array(g.geometry.halfSide).ravel()
            placement = from_world * data.oMi[int(g.parentJoint)] * g.placement
            corners += [placement.act(half * np.array(s)) for s in product((-1, 1), repeat=3)]
    frame = _hand_rotation(full, robot)
    local = np.array(corners) @ frame  # along the hand's axes, which the fingers move along
    low, high = local.min(axis=0), local.max(axis=0)
    box = coal.Box(*(high - low))
    placement = pinocchio.SE3(frame, frame @ ((low + high) / 2.0))
    return hand, placement, box, "+".join(dict.fromkeys(links)) + "_0"


def _hand_rotation(full: Any, robot: Robot) -> Array:
    assert robot.gripper is not None
    first = full.getJointId(robot.gripper.joints[0])
    rotation: Array = np.array(full.jointPlacements[first].rotation)
    return rotation


def _is_end(ball: Any, cylinder: Any) -> bool:
    if not isinstance(ball.geometry, coal.Sphere) or ball.parentJoint != cylinder.parentJoint:
        return False
    x, y, z = cylinder.placement.actInv(ball.placement.translation)
    along = abs(abs(z) - cylinder.geometry.halfLength)
    return bool(
        max(abs(x), abs(y), along) < SAME
        and abs(ball.geometry.radius - cylinder.geometry.radius) < SAME
    )


def _surroundings(limits: SafetyLimits) -> list[tuple[str, Any, Any, tuple[float, float]]]:
    found: list[tuple[str, Any, Any, tuple[float, float]]] = []
    for plane in limits.planes:
        # coal's half-space is solid where normal . p <= offset.
        solid = coal.Halfspace(np.array(plane.normal), plane.offset)
        margins = (plane.margin, plane.tool_margin)
        found.append((plane.name, solid, pinocchio.SE3.Identity(), margins))
    for box in limits.obstacles:
        turn = pinocchio.exp3(np.array([0.0, 0.0, box.yaw]))
        placement = pinocchio.SE3(turn, np.array(box.centre))
        found.append((box.name, coal.Box(*box.size), placement, (box.margin, box.tool_margin)))
    return found


def _link(part: Any) -> str:
    """The link that a shape belongs to: pinocchio numbers the shapes of each link."""
    return str(part.name).rsplit("_", 1)[0]


def _members(part: Any) -> list[str]:
    return _link(part).split("+")


def _reach(part: Any) -> float:
    """Greatest distance [m] of a part's points from its joint's origin."""
    shape, centre = part.geometry, part.placement.translation
    if isinstance(shape, coal.Box):
        half = np.asarray(shape.halfSide).ravel()
        corners = [part.placement.act(half * np.array(s)) for s in product((-1, 1), repeat=3)]
        return float(max(np.linalg.norm(corner) for corner in corners))
    if isinstance(shape, coal.Sphere):
        return float(np.linalg.norm(centre)) + float(shape.radius)
    along = part.placement.rotation[:, 2] * shape.halfLength
    ends = max(np.linalg.norm(centre + along), np.linalg.norm(centre - along))
    return float(ends) + float(shape.radius)


def _support(model: Any, joint: int) -> list[int]:
    """The joints from the root to ``joint``, itself included."""
    return [int(j) for j in model.supports[joint] if j > 0]


def _between(model: Any, one: int, other: int) -> set[int]:
    """The joints on the way from one body to the other."""
    return set(_support(model, one)) ^ set(_support(model, other))


def _levers(model: Any, joint: int, reach: float, between: set[int]) -> Array:
    """[n] bound of how far a part on ``joint`` moves for 1 rad (1 m) of each joint between.

    No point of it is farther from a joint's axis than the links between are long together.
    """
    levers = np.zeros(model.nv)
    lever = reach
    for j in reversed(_support(model, joint)):
        if j in between:
            prismatic = "P" in model.joints[j].shortname().removeprefix("JointModel")[:1]
            levers[model.joints[j].idx_v] = 1.0 if prismatic else lever
        lever += float(np.linalg.norm(model.jointPlacements[j].translation))
    return levers


def flat_pairs(shape: Shape) -> dict[int, tuple[Array, Array, float]]:
    """By the index of a pair of a box and a plane: the box's corners [8, 3] in its joint's frame,
    m, and the plane's normal [3] and offset, m."""
    found = {}
    for index, pair in enumerate(shape.geometry.collisionPairs):
        box, plane = (shape.geometry.geometryObjects[k] for k in (pair.first, pair.second))
        if isinstance(box.geometry, coal.Box) and isinstance(plane.geometry, coal.Halfspace):
            half = np.array(box.geometry.halfSide).ravel()
            corners = [box.placement.act(half * np.array(s)) for s in product((-1, 1), repeat=3)]
            normal = np.array(plane.geometry.n).ravel()
            found[index] = (np.array(corners), normal, float(plane.geometry.d))
    return found


def frame_levers(model: Any, frame: str) -> Array:
    """[n] bound of how far a frame's origin moves for 1 rad (1 m) of each joint, m/rad."""
    found = model.frames[model.getFrameId(frame)]
    joint = int(found.parentJoint)
    reach = float(np.linalg.norm(found.placement.translation))
    return _levers(model, joint, reach, _between(model, 0, joint))
