"""Puts an object back: picks it up where it lies, unless it is held, and puts it in its area."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.episodes.reset.arm import Arm
from vla_rl_nodes.episodes.reset.draw import Place
from vla_rl_nodes.episodes.reset.kit import Kit
from vla_rl_nodes.episodes.reset.objects import depth_of, held, like_yaws, misplaced, yaw_of
from vla_rl_nodes.episodes.reset.planner import NEAR, straight_way
from vla_rl_nodes.episodes.reset.progress import Progress
from vla_rl_nodes.episodes.reset.script import PickNumbers, ResetObject
from vla_rl_nodes.episodes.reset.seen import AttemptFailed, NeedsPerson, Phase, Steps
from vla_rl_nodes.robots.tool_frame import rotation_from_yaw, yaw_from_rotation

Array = NDArray[np.float64]

FALLEN = 0.05  # m below where an object rests: it is no longer on its table
MOVED = 0.01  # m that an object may have moved while the tool came
CLEARANCE = 0.002  # m above its resting height at which an object is let go
AWAY = 0.06  # m that the tool is at least lifted before it moves sideways
LEVEL = 1e-3  # m


class PutBack:
    """One object's way back into its area, as generators of ticks.

    Args:
        kit: the robot and the script's numbers.
        arm: in command, at rest.
        progress: told what is going on.
        seed: of searches for a way.
        attempt: counts from 1; another grasp is tried first at each.
    """

    def __init__(self, kit: Kit, arm: Arm, progress: Progress, seed: int, attempt: int) -> None:
        assert kit.script is not None
        self._kit, self._arm, self._progress = kit, arm, progress
        self._pick: PickNumbers = kit.script.pick
        self._seed, self._attempt = seed, attempt

    def run(self, thing: ResetObject, place: Place) -> Steps[None]:
        """Puts the object at ``place`` unless it lies in its area already and is not held.

        Raises:
            AttemptFailed: it slipped, or a way was not free or not followed.
            NeedsPerson: the arm does not reach it.
        """
        arm = self._arm
        if not self._held(thing):
            pose = arm.seen.pose(thing.name)
            yield from self._let_go()
            if pose is None or not misplaced(thing, pose):
                return
            yield from self._take(thing, pose)
        yield from self._put(thing, place)

    def _held(self, thing: ResetObject) -> bool:
        seen = self._arm.seen
        tool = self._kit.tool.fk(self._arm.measured).position
        return held(thing, seen.pose(thing.name), tool, seen.width, self._pick)

    def _let_go(self) -> Steps[None]:
        """Opens the gripper and takes the tool up, out of the way of what stands about it."""
        gripper = self._kit.robot.gripper
        if gripper is not None:
            self._progress.at(Phase.MOVING, "open the gripper")
            yield from self._arm.grip(gripper.width_max)
        yield from self._up(AWAY)

    def _up(self, height: float) -> Steps[None]:
        """Lifts the tool by ``height`` m, or to the top of its box; nothing where it is high."""
        z = float(self._kit.tool.fk(self._arm.measured).position[2])
        if z > self._pick.hover_m + AWAY:
            return
        box = self._kit.limits.workspace
        room = np.inf if box is None else float(box.upper[2]) - NEAR - z
        rise = min(height, room)
        if rise > LEVEL:
            self._progress.at(Phase.MOVING, "lift the tool")
            yield from self._arm.straight(np.array([0.0, 0.0, rise]))

    def _take(self, thing: ResetObject, pose: Array) -> Steps[None]:
        rests = thing.support_m + thing.edge_m / 2.0
        x, y, z = pose[:3].tolist()
        where = f"the {thing.name} lies at ({x:.2f}, {y:.2f}, {z:.2f}) m"
        if z < rests - FALLEN:
            raise NeedsPerson(f"{where}, below what it belongs on: put it back")
        self._progress.at(Phase.MOVING, f"reach for the {thing.name}")
        yield from self._above(pose[:3], yaw_of(pose), where)
        after = self._arm.seen.pose(thing.name)
        if after is None or float(np.abs(after[:3] - pose[:3]).max()) > MOVED:
            raise AttemptFailed(f"the {thing.name} has moved meanwhile")
        self._progress.at(Phase.MOVING, f"grasp the {thing.name}")
        height = max(z, thing.support_m + self._pick.lowest_tool_m)
        yield from self._down_to(height)
        width = yield from self._arm.grip(0.0)
        if not self._held(thing):
            raise AttemptFailed(f"the grasp of the {thing.name} holds nothing ({width:.3f} m)")
        yield from self._arm.straight(np.array([0.0, 0.0, self._pick.hover_m]))
        if not self._held(thing):
            raise AttemptFailed(f"the {thing.name} slipped out of the gripper")

    def _put(self, thing: ResetObject, place: Place) -> Steps[None]:
        self._progress.at(Phase.MOVING, f"put the {thing.name} back")
        tool = self._kit.tool.fk(self._arm.measured)
        pose = self._arm.seen.pose(thing.name)
        turn = 0.0 if pose is None else yaw_from_rotation(tool.rotation) - yaw_of(pose)
        yield from self._up(self._pick.hover_m)
        spot = np.array([place.x, place.y, self._height(thing)])
        where = f"the {thing.name}'s place is at ({place.x:.2f}, {place.y:.2f}) m"
        try:
            yield from self._above(spot, place.yaw + turn, where)
        except NeedsPerson as need:
            raise AttemptFailed(str(need)) from need  # the next attempt draws another place
        if not self._held(thing):
            raise AttemptFailed(f"the {thing.name} fell out of the gripper")
        height = self._height(thing)  # again: it may have slipped down a little
        yield from self._down_to(height)
        yield from self._let_go()

    def _height(self, thing: ResetObject) -> float:
        """Height of the tool, m, at which what it holds now just clears its support."""
        pose = self._arm.seen.pose(thing.name)
        tool = float(self._kit.tool.fk(self._arm.measured).position[2])
        below = 0.0 if pose is None else float(pose[2]) - tool
        # Held askew, a corner of it comes down first.
        height = thing.support_m + depth_of(thing, pose) - below + CLEARANCE
        return max(height, thing.support_m + self._pick.lowest_tool_m)

    def _above(self, spot: Array, yaw: float, where: str) -> Steps[None]:
        """Goes to ``hover_m`` above a spot [3], turned like ``yaw``.

        Raises:
            NeedsPerson: no turn that looks alike lets the tool get down to the spot.
        """
        kit = self._kit
        height = max(spot[2], self._pick.lowest_tool_m)
        hover = np.array([spot[0], spot[1], height + self._pick.hover_m])
        now = yaw_from_rotation(kit.tool.fk(self._arm.measured).rotation)
        yaws = like_yaws(yaw, now)

        def reachable() -> list[Array]:
            found, why = [], ""
            for turned in yaws:
                above = kit.kinematics.solve(kit.robot.home, hover, rotation_from_yaw(turned))
                if not above.converged:
                    why = why or "out of the arm's reach"
                    continue
                down = np.array([0.0, 0.0, -self._pick.hover_m])
                way = straight_way(kit.robot, kit.kinematics, above.q, down)
                problem = kit.check.standing(above.q) or (
                    "out of the arm's reach" if way is None else kit.check.problem(way)
                )
                if not problem:
                    found.append(above.q)
                why = why or problem
            if not found:
                raise NeedsPerson(f"{where}, where it cannot be reached: {why}")
            return found

        goals = yield from self._arm.planned(reachable)
        yield from self._arm.go(goals[(self._attempt - 1) % len(goals)], self._seed)

    def _down_to(self, height: float) -> Steps[None]:
        z = float(self._kit.tool.fk(self._arm.measured).position[2])
        yield from self._arm.straight(np.array([0.0, 0.0, height - z]), self._pick.approach_speed)
