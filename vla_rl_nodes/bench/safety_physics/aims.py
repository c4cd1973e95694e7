"""Where the pushes begin and what they are aimed at."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.bench.safety_physics.measure import Meter
from vla_rl_nodes.bench.safety_physics.setting import Setting
from vla_rl_nodes.contract.spec import JOINT_KINDS, Contract
from vla_rl_nodes.robots.kinematics import Kinematics
from vla_rl_nodes.robots.tool_frame import rotation_from_yaw

Array = NDArray[np.float64]

DRAWS = 4000
FREE = 0.005  # m of room over every margin, and to every wall, where a push begins
DEEP = 0.02  # m of overlap that a push into the table or the body asks for
BEYOND = 0.05  # m out of the box, or out of the trunk's height limits


class Aim(StrEnum):
    """What a push is aimed at."""

    TABLE = "table"
    BODY = "body"
    EDGE = "edge"
    STOP = "stop"


class Push(NamedTuple):
    """One push.

    Attributes:
        aim: at what.
        start: joint positions it begins at [n], rad.
        goal: joint positions that joint actions lead to, in a straight line [n], rad.
        way: direction [3] of tool actions along the base frame's axes; None: towards ``at``.
        at: point [3] that tool actions lead to, m, in the base frame.
        turn: turning [3] of tool actions about the base frame's axes, as shares of the most.
    """

    aim: Aim
    start: Array
    goal: Array
    way: Array | None
    at: Array
    turn: Array


class Aims:
    """Draws starts and goals for one robot; MuJoCo is asked where it would be in them.

    Args:
        setting: the robot and its limits.
        meter: of the same setting.
        random: the source of all that is drawn.
    """

    def __init__(self, setting: Setting, meter: Meter, random: np.random.Generator) -> None:
        self._setting, self._meter, self._random = setting, meter, random
        self._kinematics = Kinematics(setting.robot)

    @property
    def kinds(self) -> tuple[Aim, ...]:
        """What there is to push at: a robot that hangs has no table."""
        return tuple(a for a in Aim if a is not Aim.TABLE or np.isfinite(self._setting.reach))

    def start(self, contract: Contract) -> Array:
        """A configuration [n] inside all limits, far enough from everything to be armed in."""
        downward = contract.action.kind == "tool_delta"
        for _ in range(DRAWS):
            q = self._downward() if downward else self._anywhere()
            if q is not None and self._free(q):
                return q
        return self._setting.robot.home.copy()

    def push(self, aim: Aim, start: Array, index: int) -> Push:
        """The push number ``index`` from ``start`` [n]: it chooses the wall or the stop."""
        random, robot = self._random, self._setting.robot
        low, high = robot.position_min, robot.position_max
        turn = random.uniform(-1.0, 1.0, 3) * (random.random() < 0.5)
        at = np.array([0.0, 0.0, random.uniform(0.1, 0.6)])
        way: Array | None = None
        if aim is Aim.TABLE:
            goal = self._draw(start, lambda q: -self._meter.least_room(q, table=True))
            way = np.array([*random.uniform(-0.3, 0.3, 2), -1.0])
        elif aim is Aim.BODY:
            goal = self._draw(start, lambda q: -self._meter.least_room(q, table=False))
        elif aim is Aim.EDGE:
            axis, upper = index // 2 % 3, index % 2 == 1
            way = np.zeros(3)
            way[axis] = 1.0 if upper else -1.0
            goal = self._draw(start, lambda q: self._past(q, axis, upper))
        else:
            goal, joint = start.copy(), index // 2 % len(low)
            goal[joint] = high[joint] + 0.05 if index % 2 else low[joint] - 0.05
            way, turn = random.uniform(-0.2, 0.2, 3), np.zeros(3)
            turn[index // 2 % 3] = 1.0 if index % 2 else -1.0
        return Push(aim, start, goal, way, at, turn)

    def _draw(self, start: Array, depth: Callable[[Array], float]) -> Array:
        """A configuration [n] that is deep in what is aimed at, or the deepest one drawn."""
        robot, deepest, goal = self._setting.robot, -np.inf, start
        for _ in range(400):
            q = self._random.uniform(robot.position_min, robot.position_max)
            found = depth(q)
            if found > deepest:
                deepest, goal = found, q
            if deepest >= BEYOND:
                break
        return goal

    def _past(self, q: Array, axis: int, upper: bool) -> float:
        """How far the tool is out of one wall of its box, or the trunk too high or low, m."""
        limits = self._setting.limits
        if limits.body is not None:
            height = self._meter.height(self._meter.look(q))
            return height - limits.body.height_max if upper else limits.body.height_min - height
        box, point = limits.workspace, self._meter.tool(self._meter.look(q))
        assert box is not None
        return float(point[axis] - box.upper[axis] if upper else box.lower[axis] - point[axis])

    def _anywhere(self) -> Array:
        """Uniform over the ranges, or between there and home."""
        robot, random = self._setting.robot, self._random
        q = random.uniform(robot.position_min + 0.02, robot.position_max - 0.02)
        near: Array = robot.home + random.choice((0.4, 1.0)) * (q - robot.home)
        return near

    def _downward(self) -> Array | None:
        box, random = self._setting.limits.workspace, self._random
        assert box is not None
        at = random.uniform(box.lower + FREE, box.upper - FREE)
        turned = rotation_from_yaw(random.uniform(-1.0, 1.0))
        found = self._kinematics.solve(self._setting.robot.home, at, turned, iterations=100)
        return found.q if found.converged else None

    def _free(self, q: Array) -> bool:
        robot, limits, meter = self._setting.robot, self._setting.limits, self._meter
        if not ((q > robot.position_min) & (q < robot.position_max)).all():
            return False
        if robot.tool_frame is not None and meter.outside(meter.tool(meter.look(q))) > -FREE:
            return False
        if limits.body is not None:
            height = meter.height(meter.look(q))
            if not limits.body.height_min + FREE < height < limits.body.height_max - FREE:
                return False
        return all(meter.least_room(q, table=table) > FREE for table in (True, False))


def action_of(push: Push, contract: Contract, position: Array, rotation: Array) -> Array:
    """The largest action [axes] that the contract allows along a push; the gripper opens.

    Args:
        push: the push.
        contract: kind, frame and bounds of the action.
        position: of the tool [3], m, in the base frame; not used for joint actions.
        rotation: [3, 3] of the frame whose axes the action is along.
    """
    action = contract.action
    values = np.zeros(len(action.axes))
    if action.has_gripper:
        values[-1] = action.maximum[-1]
    if action.kind in JOINT_KINDS:
        joints = len(push.goal)
        most = action.maximum[:joints]
        if action.kind == "joint_position":
            values[:joints] = np.clip(push.goal, action.minimum[:joints], most)
        else:
            way = push.goal - push.start
            values[:joints] = way / np.abs(way / most).max()
        return values
    way, turn = push.way if push.way is not None else push.at - position, push.turn
    way, turn = rotation.T @ way, rotation.T @ turn
    values[:3] = way / max(float(np.abs(way).max()), 1e-9) * action.maximum[:3]
    if action.kind == "tool_delta":
        values[3] = np.clip(turn[2], -1.0, 1.0) * action.maximum[3]
    else:
        values[3:6] = turn / max(float(np.abs(turn).max()), 1.0) * action.maximum[3:6]
    return values
