"""What each robot's description leaves out of its self-collision check cannot touch."""

from __future__ import annotations

from itertools import combinations, product
from typing import Any

import numpy as np
import pinocchio
import pytest

from vla_rl_nodes.robots.load import load_robot
from vla_rl_nodes.robots.model import Robot

Pair = tuple[int, int]
# These shapes overlap in ours and not in the arm: the round ends of the two capsules.
ROUND_ENDS = {"fr3": {"fr3_link1", "fr3_link3"}}


class Body:
    """A robot's primitives, the fingers wide open, and how many joints lie between two."""

    def __init__(self, robot: Robot) -> None:
        full = pinocchio.buildModelFromUrdf(robot.urdf)
        shapes = pinocchio.buildGeomFromUrdf(full, robot.urdf, pinocchio.GeometryType.COLLISION)
        q = pinocchio.neutral(full)
        if robot.gripper is not None:
            for name in robot.gripper.joints:
                q[full.joints[full.getJointId(name)].idx_q] = robot.gripper.width_max / 2
        locked = [full.getJointId(name) for name in full.names[1:] if name not in robot.joints]
        self.model, self.shapes = pinocchio.buildReducedModel(full, shapes, locked, q)
        self.data = self.model.createData()
        self.joints = [int(part.parentJoint) for part in self.shapes.geometryObjects]
        self.names = [part.name for part in self.shapes.geometryObjects]

    def between(self, pair: Pair) -> frozenset[int]:
        """The joints that move one part against the other."""
        a, b = (set(self.model.supports[self.joints[index]]) for index in pair)
        return frozenset(int(j) for j in a ^ b)

    def pairs(self) -> list[Pair]:
        return list(combinations(range(len(self.names)), 2))

    def distances(self, pairs: list[Pair], path: np.ndarray) -> np.ndarray:
        """[m, pairs] in m, negative where two parts overlap."""
        shapes: Any = self.shapes.copy()
        shapes.removeAllCollisionPairs()
        for pair in pairs:
            shapes.addCollisionPair(pinocchio.CollisionPair(*pair))
        found = pinocchio.GeometryData(shapes)
        rows = []
        for q in path:
            pinocchio.computeDistances(self.model, self.data, shapes, found, q)
            rows.append([result.min_distance for result in found.distanceResults])
        return np.array(rows)


@pytest.mark.parametrize("name", ["fr3", "panda", "ur5e", "go2"])
def test_what_is_held_apart_is_apart_at_home_and_mostly(name: str) -> None:
    robot = load_robot(name)
    body = Body(robot)
    held = [p for p in body.pairs() if len(body.between(p)) > robot.collision.neighbours]
    assert (body.distances(held, robot.home[None]) > 0.02).all()
    rng = np.random.default_rng(3)
    path = rng.uniform(robot.position_min, robot.position_max, (400, len(robot.joints)))
    overlaps = body.distances(held, path) <= 0.0
    assert overlaps.mean(axis=0).max() < 0.15  # no pair is in the way everywhere
    assert 0.75 < 1.0 - overlaps.any(axis=1).mean() < 1.0  # some folded arms do touch


@pytest.mark.parametrize("name", ["fr3", "panda", "ur5e", "go2"])
def test_what_is_left_out_cannot_touch(name: str) -> None:
    robot = load_robot(name)
    body = Body(robot)
    # Parts on both sides of one joint meet in it; theirs is the joint's range.
    checked: dict[frozenset[int], list[Pair]] = {}
    for pair in body.pairs():
        joints = body.between(pair)
        if not 1 < len(joints) <= robot.collision.neighbours:
            continue
        links = {body.names[index].rsplit("_", 1)[0] for index in pair}
        if links != ROUND_ENDS.get(name):
            checked.setdefault(joints, []).append(pair)
    assert bool(checked) == (robot.collision.neighbours > 1)
    for joints, pairs in checked.items():
        index = [joint - 1 for joint in sorted(joints)]
        spans = [np.linspace(robot.position_min[i], robot.position_max[i], 25) for i in index]
        path = np.tile(robot.home, (25 ** len(index), 1))
        path[:, index] = list(product(*spans))
        closest = body.distances(pairs, path).min(axis=0)
        assert closest.min() > 0.005, body.names[pairs[int(closest.argmin())][0]]


def test_the_tools_and_feet_are_links_with_shapes() -> None:
    for name in ("fr3", "panda", "ur5e", "go2"):
        robot = load_robot(name)
        shapes = set(Body(robot).names)
        for link in (*robot.collision.tool_links, *robot.feet):
            assert any(shape.startswith(f"{link}_") for shape in shapes)
    assert load_robot("go2").feet == ["FL_foot", "FR_foot", "RL_foot", "RR_foot"]
    assert load_robot("panda").collision.tool_links == [
        "panda_hand", "panda_leftfinger", "panda_rightfinger",
    ]  # fmt: skip
