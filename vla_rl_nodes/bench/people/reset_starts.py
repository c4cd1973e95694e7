"""Start states for resets, drawn by kind: what an episode, an accident or a visitor leaves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.episodes.reset.check import WayCheck
from vla_rl_nodes.episodes.reset.draw import draw
from vla_rl_nodes.episodes.reset.script import load_script
from vla_rl_nodes.robots.kinematics import Kinematics
from vla_rl_nodes.robots.model import Robot
from vla_rl_nodes.robots.tool_frame import rotation_from_yaw, tilt_from_rotation
from vla_rl_nodes.safety.limits import Obstacle, SafetyLimits

Array = NDArray[np.float64]

EDGE = 0.04  # m, of the cube
REST = EDGE / 2.0
NEAR_LIMIT = (0.03, 0.10)  # rad from the end of a joint's range
TRIES = 2000


class Kind(NamedTuple):
    """A kind of start: how many of 200, and whether a robot can reach the task's start alone."""

    starts: int
    reachable: bool


KINDS = {
    "normal": Kind(30, True),
    "fallen": Kind(40, True),
    "held": Kind(30, True),
    "near_limits": Kind(30, True),
    "tilted": Kind(10, True),
    "obstacle": Kind(30, True),
    "obstacle_and_fallen": Kind(10, True),
    "out_of_reach": Kind(20, False),
}


@dataclass(frozen=True)
class BadStart:
    """One start: joints [n] (rad), each finger's travel (m), the cube's pose [7], what is in the
    way, and whether the gripper closes on the cube before anything else happens."""

    kind: str
    seed: int
    joints: Array
    finger: float
    cube: Array
    obstacles: tuple[Obstacle, ...] = ()
    closes: bool = False


class Starts:
    """Draws starts of one robot and task.

    Args:
        robot: the Franka Research 3.
        limits: of its task.
        task: name of its reset.
    """

    def __init__(self, robot: Robot, limits: SafetyLimits, task: str) -> None:
        self._robot, self._limits = robot, limits
        self._kinematics = Kinematics(robot)
        self._check = WayCheck(robot, self._kinematics, limits)
        self._script = load_script(task)

    def all(self, seed: int, share: float = 1.0) -> list[BadStart]:
        """So many of each kind as ``KINDS`` says, or a share of them but at least one."""
        return [
            self.draw(kind, seed * 1000 + number)
            for kind, of in KINDS.items()
            for number in range(max(round(of.starts * share), 1))
        ]

    def draw(self, kind: str, seed: int) -> BadStart:
        """One start; the same seed gives the same."""
        rng = np.random.default_rng([seed, list(KINDS).index(kind)])
        makes: dict[str, Callable[[np.random.Generator], BadStart]] = {
            "normal": lambda rng: self._made(kind, seed, self._arm(rng), self._in_area(rng)),
            "fallen": lambda rng: self._made(kind, seed, self._arm(rng), self._fallen(rng)),
            "held": lambda rng: self._held(seed, rng),
            "near_limits": lambda rng: self._made(
                kind, seed, self._near_limits(rng), self._in_area(rng)
            ),
            "tilted": lambda rng: self._made(kind, seed, self._tilted(rng), self._in_area(rng)),
            "obstacle": lambda rng: self._obstacle(kind, seed, rng, self._in_area(rng)),
            "obstacle_and_fallen": lambda rng: self._obstacle(kind, seed, rng, self._fallen(rng)),
            "out_of_reach": lambda rng: self._made(kind, seed, self._arm(rng), self._lost(rng)),
        }
        return makes[kind](rng)

    def _made(self, kind: str, seed: int, joints: Array, cube: Array) -> BadStart:
        return BadStart(kind, seed, joints, 0.04, cube)

    def _arm(self, rng: np.random.Generator, low: float = 0.10) -> Array:
        """The tool anywhere in its box, pointing down, turned by up to 1 rad."""
        for _ in range(TRIES):
            spot = rng.uniform([0.30, -0.30, low], [0.65, 0.30, 0.55])
            turn = rotation_from_yaw(rng.uniform(-1.0, 1.0))
            found = self._kinematics.solve(self._robot.home, spot, turn)
            if found.converged and not self._check.standing(found.q):
                return found.q
        raise AssertionError("no arm found")

    def _near_limits(self, rng: np.random.Generator) -> Array:
        """A joint near the end of its range, the tool in its box and about downward."""
        low, high = self._robot.position_min, self._robot.position_max
        home = self._robot.home
        for _ in range(TRIES):
            joint = int(rng.integers(len(home)))
            gap = rng.uniform(*NEAR_LIMIT)
            posture = np.clip(home + rng.normal(0.0, 1.0, len(home)), low + 0.2, high - 0.2)
            posture[joint] = (low[joint] + gap) if rng.random() < 0.5 else (high[joint] - gap)
            spot = rng.uniform([0.30, -0.30, 0.12], [0.65, 0.30, 0.55])
            turn = rotation_from_yaw(rng.uniform(-3.0, 3.0))
            found = self._kinematics.solve(posture, spot, turn, posture=posture)
            room = np.minimum(found.q - low, high - found.q)
            near = bool(((room > 0.02) & (room < NEAR_LIMIT[1])).any() and (room > 0.02).all())
            if found.converged and near and not self._check.standing(found.q):
                return found.q
        raise AssertionError("no arm near its limits found")

    def _tilted(self, rng: np.random.Generator) -> Array:
        """Left anyhow, as by hand: the tool tilted by more than the filter takes over."""
        low, high = self._robot.position_min, self._robot.position_max
        most = self._limits.arming_tilt_max or 0.0
        for _ in range(TRIES):
            q = self._robot.home + rng.normal(0.0, 0.5, len(self._robot.home))
            inside = bool(((q > low + 0.05) & (q < high - 0.05)).all())
            if inside and not self._check.standing(q):
                tilt = tilt_from_rotation(self._kinematics.fk(q).rotation)
                if most + 0.1 < tilt < 1.2:
                    return q
        raise AssertionError("no tilted arm found")

    def _in_area(self, rng: np.random.Generator) -> Array:
        spawn = self._script.objects[0].spawn
        half = np.array(spawn.half_range_m)
        x, y = np.array(spawn.centre_m) + rng.uniform(-half, half)
        return _pose(x, y, REST, rng.uniform(-0.78, 0.78))

    def _fallen(self, rng: np.random.Generator) -> Array:
        """Turned anyhow, about to fall, where the arm reaches and outside the cube's area."""
        while True:
            x, y = rng.uniform([0.30, -0.31], [0.66, 0.31])
            if abs(x - 0.5) > 0.115 or abs(y) > 0.115:
                q = rng.normal(size=4)
                return np.array([x, y, rng.uniform(0.04, 0.08), *(q / np.sqrt(q @ q))])

    def _lost(self, rng: np.random.Generator) -> Array:
        """On the table out of the tool's box, behind the arm, or on the floor."""
        places = (
            ([0.74, -0.3], [0.95, 0.3], REST), ([0.35, 0.42], [0.65, 0.6], REST),
            ([0.10, -0.5], [0.19, -0.25], REST), ([1.10, -0.4], [1.30, 0.4], -0.75 + REST),
        )  # fmt: skip
        low, high, z = places[int(rng.integers(len(places)))]
        x, y = rng.uniform(low, high)
        return _pose(x, y, z, rng.uniform(-0.78, 0.78))

    def _held(self, seed: int, rng: np.random.Generator) -> BadStart:
        joints = self._arm(rng, 0.06)
        tool = self._kinematics.fk(joints)
        turn = np.arctan2(tool.rotation[1, 0], tool.rotation[0, 0])
        x, y, z = tool.position.tolist()
        cube = _pose(x, y, z, turn)
        return BadStart("held", seed, joints, REST + 5e-4, cube, closes=True)

    def _obstacle(self, kind: str, seed: int, rng: np.random.Generator, cube: Array) -> BadStart:
        """A box on the table that the straight way to the start would run into."""
        goal = draw(self._robot, self._kinematics, self._script, seed).joints
        for _ in range(TRIES):
            side = 1.0 if rng.random() < 0.5 else -1.0
            height = rng.uniform(0.20, 0.45)
            box = Obstacle(
                name="box",
                centre=[rng.uniform(0.40, 0.62), side * rng.uniform(0.14, 0.20), height / 2.0],
                size=[rng.uniform(0.04, 0.10), rng.uniform(0.03, 0.06), height],
                margin=0.02,
                tool_margin=0.01,
            )
            limits = self._limits.model_copy(update={"obstacles": [box]})
            check = WayCheck(self._robot, self._kinematics, limits)
            joints = self._arm(rng)
            behind = self._kinematics.fk(joints).position[1] * side > 0.2
            apart = np.abs(cube[:2] - np.array(box.centre[:2])).max() > 0.12
            if not (behind and apart) or check.standing(joints) or check.standing(goal):
                continue
            if check.problem(np.stack([joints, goal])):
                return BadStart(kind, seed, joints, 0.04, cube, (box,))
        raise AssertionError("no obstacle found that is in the way")


def _pose(x: float, y: float, z: float, yaw: float) -> Array:
    return np.array([x, y, z, np.cos(yaw / 2.0), 0.0, 0.0, np.sin(yaw / 2.0)])
