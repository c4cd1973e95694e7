"""Commands that ask for a little more than one limit allows, found by walking up to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import pinocchio

from vla_rl_nodes.robots.tool_frame import rotation_from_yaw, yaw_from_rotation
from vla_rl_nodes.safety.reasons import Reason

from .scenes import CRATE, Array, Scene, changed, limits
from .truth import Limits, Pose

LEAST = 1e-4  # m and rad, that a command is outside at least
METRES, RADIANS = 0.01, 0.05  # that it is outside at most
WALK = (0.01, 0.03)  # m and rad of a step towards a limit
STEPS = 40

BOX = ("face", "edge", "corner")
IN_RADIANS = ("range", "velocity")
FEET_APART = 0.02  # m


@dataclass
class Case:
    """A robot at rest, and a command just outside one limit."""

    scene: Scene
    q0: Array
    action: Array
    excess: float


def scene_of(name: str, kind: str, limit: str) -> Scene:
    """Limits in which the one that is looked for can be met; nothing is slowed at singularities,
    since that is no projection."""
    shipped = limits(name.split("_")[0])
    of = changed(shipped, singularity=None)
    if name.startswith("fr3") and limit in BOX:
        of = changed(limits("franka_pick"), singularity=None)
    if limit == "obstacle":
        of = changed(of, obstacles=[CRATE])
    if limit == "velocity":
        slow = {"tool_delta": 0.1, "joint_delta": 0.03}
        of = changed(of, velocity_scale=slow.get(kind, 0.2))
    return Scene(name, kind, of)


def goal_of(scene: Scene, q0: Array, action: Array) -> Pose:
    """The pose that a tool action along the base's axes asks for at ``q0``."""
    start = scene.kinematics.fk(q0)
    if scene.kind == "tool_delta":
        rotation = rotation_from_yaw(yaw_from_rotation(start.rotation) + float(action[3]))
    else:
        rotation = pinocchio.exp3(np.ascontiguousarray(action[3:6])) @ start.rotation
    return Pose(start.position + action[:3], rotation)


def wanted(scene: Scene, q0: Array, action: Array) -> Array | None:
    """Joint positions [n] that an action asks for at ``q0``, whatever the limits; None: none
    are found."""
    joints = len(q0)
    if scene.kind == "joint_position":
        return action[:joints]
    if scene.kind == "joint_delta":
        return q0 + action[:joints]
    goal = goal_of(scene, q0, action)
    q = q0.copy()
    for _ in range(20):
        error = Pose(*scene.kinematics.fk(q)).error(goal, 1.0)
        if np.abs(error).max() < 1e-9:
            return q
        q = q + np.linalg.lstsq(scene.kinematics.jacobian(q), error, rcond=1e-3)[0]
    return None


def slack(within: Limits, limit: str, q: Array) -> float:
    """To one kind of limit, m or rad; negative outside."""
    scene = within.scene
    if limit in BOX:
        # The second face has to be left for an edge, the third for a corner.
        return float(np.sort(within.box(q))[BOX.index(limit)])
    if limit in ("plane", "obstacle", "self"):
        reasons = np.array(scene.clearance.reasons)
        if limit == "self":
            chosen = reasons == Reason.SELF_COLLISION
        else:
            other = np.array([names[1] for names in scene.clearance.names])
            chosen = other == ("crate" if limit == "obstacle" else "table")
        return float(within.distances(q)[chosen].min())
    parts: dict[str, Callable[[Array], Array]] = {
        "range": within.ranges, "velocity": within.velocities, "height": within.height,
    }  # fmt: skip
    return float(parts[limit](q).min())


def cases(scene: Scene, limit: str, seed: int) -> Iterator[Case]:
    """Without end."""
    rng = np.random.default_rng(seed)
    while True:
        q = _start(scene, limit, rng)
        if q is None:
            continue
        if limit not in (*BOX, *IN_RADIANS):
            q = _walked(scene, limit, q, rng)
        if q is not None and (found := _command(scene, limit, q, rng)) is not None:
            yield found


def _start(scene: Scene, limit: str, rng: np.random.Generator) -> Array | None:
    if limit == "range":
        q = _at_an_end(scene, rng)
    elif scene.robot.tool_frame is None:
        q = scene.robot.home + rng.uniform(-0.3, 0.3, len(scene.robot.home))
    elif limit in BOX or scene.kind == "tool_delta":
        q = _posed(scene, limit, rng)
    else:
        q = scene.robot.home + rng.uniform(-0.7, 0.7, len(scene.robot.home))
    if q is None or Limits(scene, q).all(q).min() < 0 or _overlaps(scene, q):
        return None
    return q


def _posed(scene: Scene, limit: str, rng: np.random.Generator) -> Array | None:
    box = scene.limits.workspace
    assert box is not None
    low, high = box.lower.copy(), box.upper.copy()
    if limit == "self":
        low, high = np.array([-0.4, -0.4, 0.05]), np.array([0.4, 0.4, 0.6])
    place = rng.uniform(low, high)
    if limit in BOX:
        for axis in rng.permutation(3)[: BOX.index(limit) + 1]:
            inwards = rng.uniform(0.0, 0.004)
            place[axis] = low[axis] + inwards if rng.random() < 0.5 else high[axis] - inwards
    rotation = rotation_from_yaw(rng.uniform(-1.0, 1.0))
    if scene.kind != "tool_delta":
        rotation = rotation @ pinocchio.exp3(rng.uniform(-0.3, 0.3, 3))
    start = scene.robot.home + rng.uniform(-0.5, 0.5, len(scene.robot.home))
    found = scene.kinematics.solve(
        start, place, rotation, posture=start, iterations=100, tolerance=1e-9
    )
    return found.q if found.converged else None


def _at_an_end(scene: Scene, rng: np.random.Generator) -> Array | None:
    """With a joint near the end of its range."""
    robot = scene.robot
    q: Array = robot.home + rng.uniform(-0.5, 0.5, len(robot.home))
    joint, inwards = rng.integers(len(q)), rng.uniform(0.005, 0.04)
    low, high = robot.position_min[joint] + inwards, robot.position_max[joint] - inwards
    q[joint] = low if rng.random() < 0.5 else high
    if scene.kind != "tool_delta":
        return q
    at = scene.kinematics.fk(q)
    level = rotation_from_yaw(yaw_from_rotation(at.rotation))
    found = scene.kinematics.solve(q, at.position, level, posture=q, tolerance=1e-9)
    return found.q if found.converged else None


def _overlaps(scene: Scene, q: Array) -> bool:
    """Whether something is closer than its margin: none of these cases begins there."""
    room = scene.clearance.distances(q) - scene.clearance.reserved(
        scene.limits.workspace_tolerance
    )
    return bool((room < 0).any())


def _random(scene: Scene, rng: np.random.Generator) -> Array:
    """A direction of actions, of about one step to a limit."""
    if scene.kind.startswith("joint"):
        return WALK[1] * rng.normal(size=len(scene.robot.joints))
    turns = 1 if scene.kind == "tool_delta" else 3
    return np.concatenate([WALK[0] * rng.normal(size=3), WALK[1] * rng.normal(size=turns)])


def _moved(scene: Scene, q: Array, moved: Array) -> Array | None:
    if scene.kind.startswith("joint"):
        return q + moved
    return wanted(scene, q, moved)


def _walked(scene: Scene, limit: str, q: Array, rng: np.random.Generator) -> Array | None:
    """The last configuration before a limit on a way that soon leads there."""
    within = Limits(scene, q)
    aim = rng.uniform(0.0, 0.004)
    ways = [_random(scene, rng) for _ in range(6)]
    ends = [_moved(scene, q, way) for way in ways]
    slacks = [np.inf if end is None else slack(within, limit, end) for end in ends]
    way = ways[int(np.argmin(slacks))]
    size = 1.0
    for _ in range(STEPS):
        ahead = _moved(scene, q, size * way)
        if ahead is None:
            return None
        if slack(within, limit, ahead) < aim:
            size *= 0.5
            if size < 0.02:
                return q
            continue
        static = [within.ranges(ahead), within.distances(ahead), within.box(ahead)]
        if min(part.min() for part in [*static, within.height(ahead)] if len(part)) < 0:
            return None
        q = ahead
    return None


def _command(scene: Scene, limit: str, q0: Array, rng: np.random.Generator) -> Case | None:
    within = Limits(scene, q0)
    measure = partial(slack, within, limit)
    most = RADIANS if limit in IN_RADIANS else METRES
    low, high = scene.action.minimum, scene.action.maximum
    for size in rng.permutation(np.array([0.1, 0.3, 0.6, 1.0, 1.5, 2.0])):
        moved = size * _random(scene, rng)
        if scene.kind == "joint_position":
            moved = q0 + moved
        action = np.clip(scene.full(moved), low, high)
        q = wanted(scene, q0, action)
        if q is None:
            continue
        excess = -measure(q)
        if not LEAST < excess <= most:
            continue
        angles = min(within.ranges(q).min(), within.velocities(q).min())
        lengths = [within.distances(q), within.box(q), within.speed(q), within.height(q)]
        if angles >= -RADIANS and min(part.min() for part in lengths if len(part)) >= -METRES:
            return Case(scene, q0, action, excess)
    return None
