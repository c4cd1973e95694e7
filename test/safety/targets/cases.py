"""Random cases just outside each kind of limit, for the comparison with the true projection."""

from __future__ import annotations

import numpy as np

from vla_rl_nodes.safety.clearance import Clearance
from vla_rl_nodes.safety.reasons import Reason

from .offline import WIDE, Case, changed, kinematics, robot, tool_at

FREE = {"planes": [], "self_collision_margin": 0.0, "tool_speed_max": None, "singularity": None}
KINDS = ("face", "edge", "velocity", "joint", "plane", "self")


def _action(rng: np.random.Generator) -> np.ndarray:
    return np.array([*rng.uniform(-0.02, 0.02, 3), rng.uniform(-0.15, 0.15), 0.05])


def _somewhere(rng: np.random.Generator) -> np.ndarray:
    while True:
        q = tool_at(
            rng.uniform(0.3, 0.6), rng.uniform(-0.3, 0.3), rng.uniform(0.1, 0.5),
            rng.uniform(-1.0, 1.0),
        )  # fmt: skip
        if q is not None:
            return q


def _box(rng: np.random.Generator, walls: int) -> Case:
    """So many walls of a box stand in the way, less than the action's way ahead."""
    q, action = _somewhere(rng), _action(rng)
    point = kinematics().fk(q).position
    box = {axis: list(WIDE[axis]) for axis in "xyz"}
    for k in rng.permutation(3)[:walls]:
        action[k] = rng.choice([-1.0, 1.0]) * rng.uniform(0.008, 0.02)
        wall = point[k] + rng.uniform(0.2, 0.9) * action[k]
        box["xyz"[k]][int(action[k] > 0)] = float(wall)
    return Case(q, changed(**FREE, workspace=box), action, Reason.WORKSPACE)


def _velocity(rng: np.random.Generator) -> Case:
    q, action = _somewhere(rng), _action(rng)
    step = np.linalg.lstsq(kinematics().jacobian(q), np.array([*action[:3], 0, 0, action[3]]))[0]
    low, high = robot().velocity_bounds(q)
    used = np.max(step / np.where(step > 0, high, low)) / 0.05
    scale = float(used * rng.uniform(0.55, 0.9))
    limits = changed(**FREE, workspace=WIDE, velocity_scale=scale)
    return Case(q, limits, action, Reason.JOINT_VELOCITY)


def _joint(rng: np.random.Generator) -> Case:
    """The last joint stands before its end, where its velocity limit closes, and is turned on."""
    q, action = _somewhere(rng), _action(rng)
    end = rng.choice([-1.0, 1.0])
    q[6] = end * (robot().position_max[6] - rng.uniform(0.02, 0.06))
    action[3] = -end * rng.uniform(0.05, 0.15)
    return Case(q, changed(**FREE, workspace=WIDE), action, Reason.JOINT_VELOCITY)


def _plane(rng: np.random.Generator) -> Case:
    """A plane, turned at random towards the arm, within the action's way of some part of it."""
    while True:
        q, action = _somewhere(rng), _action(rng)
        normal = rng.normal(size=3)
        normal /= np.linalg.norm(normal)
        if normal @ action[:3] > -0.006:
            continue
        plane = {"name": "wall", "normal": normal.tolist(), "offset": -2.0,
                 "margin": 0.01, "tool_margin": 0.004}  # fmt: skip
        keys = {**FREE, "workspace": WIDE}
        room = Clearance(robot(), changed(**{**keys, "planes": [plane]}))
        held = np.array([reason is Reason.COLLISION for reason in room.reasons])
        nearest = float((room.distances(q) - room.reserved(0.002))[held].min())
        gap = rng.uniform(0.1, 0.7) * -float(normal @ action[:3])
        plane["offset"] = -2.0 + nearest - gap
        limits = changed(**{**keys, "planes": [plane]})
        return Case(q, limits, action, Reason.COLLISION)


def _self(rng: np.random.Generator) -> Case:
    """Two parts stand at their margin and the action brings them together."""
    keys = {**FREE, "workspace": WIDE}
    while True:
        q, action = _somewhere(rng), _action(rng)
        bare = Clearance(robot(), changed(**{**keys, "self_collision_margin": 0.01}))
        step = np.linalg.lstsq(
            kinematics().jacobian(q), np.array([*action[:3], 0, 0, action[3]])
        )[0]  # fmt: skip
        distances = bare.distances(q)
        closing = distances - bare.distances(q + step)
        pair = int(np.argmin(distances))
        if closing[pair] < 0.003 or distances[pair] < 0.02:
            continue
        margin = float(distances[pair] - 0.002 - rng.uniform(0.2, 0.8) * closing[pair])
        limits = changed(**{**keys, "self_collision_margin": margin})
        return Case(q, limits, action, Reason.SELF_COLLISION)


def case(kind: str, seed: int) -> Case:
    """A case of a kind; the same for the same seed."""
    rng = np.random.default_rng([KINDS.index(kind), seed])
    if kind in ("face", "edge"):
        return _box(rng, 1 if kind == "face" else 2 + seed % 2)
    return {"velocity": _velocity, "joint": _joint, "plane": _plane, "self": _self}[kind](rng)

