"""Ways from where the arm is to where it shall be: candidates in order, each checked."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import NamedTuple, Protocol

import numpy as np
import pinocchio
from numpy.typing import NDArray

from vla_rl_nodes.episodes.reset.check import WayCheck
from vla_rl_nodes.episodes.reset.rrt import connect
from vla_rl_nodes.episodes.reset.seen import AttemptFailed
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.robots.kinematics import Kinematics
from vla_rl_nodes.robots.model import Robot
from vla_rl_nodes.safety.limits import SafetyLimits

Array = NDArray[np.float64]

RISE = 0.01  # m between two points of a straight way of the tool
SHORTEST_LIFT = 0.01  # m; less is no other plan
NEAR = 0.002  # m that a lifted tool keeps from the top of its box


class Candidate(NamedTuple):
    """One way [k, n] that a planner proposes, rad; None and why, where it found none."""

    name: str
    way: Array | None
    why: str = ""


class Plan(NamedTuple):
    """A way [k, n], rad, that passes the check, and its positions [m, n] in time."""

    name: str
    way: Array
    positions: Array


class Planner(Protocol):
    """Proposes ways, best first; each is only found when it is asked for."""

    def candidates(self, start: Array, goal: Array, seed: int) -> Iterator[Candidate]:
        """Ways from ``start`` to ``goal`` [n], rad; the seed is of what is drawn at random."""


class RoomPlanner:
    """Direct; lifted first; over home; with the tool on a straight line; then RRT-Connect.

    Args:
        robot: home and joint ranges.
        kinematics: of the tool.
        limits: the tool's box.
        check: what is free.
        lift_m: how far the tool is lifted first.
        limit_s: longest search of RRT-Connect.
    """

    def __init__(
        self, robot: Robot, kinematics: Kinematics, limits: SafetyLimits, check: WayCheck,
        lift_m: float, limit_s: float,
    ) -> None:  # fmt: skip
        self._robot, self._kinematics, self._limits = robot, kinematics, limits
        self._check, self._lift, self._limit_s = check, lift_m, limit_s

    def candidates(self, start: Array, goal: Array, seed: int) -> Iterator[Candidate]:
        """See :class:`Planner`."""
        yield Candidate("direct", np.stack([start, goal]))
        lifted = None
        if self._kinematics.has_tool:
            lifted = lifted_way(self._robot, self._kinematics, self._limits, start, self._lift)
            if lifted is None:
                yield Candidate("lift", None, "the tool cannot be lifted")
            else:
                yield Candidate("lift", np.concatenate([lifted, goal[None]]))
        begun = start[None] if lifted is None else lifted
        home = self._robot.home[None]
        yield Candidate("home", np.concatenate([begun, home, goal[None]]))
        if lifted is not None:
            yield Candidate("home unlifted", np.concatenate([start[None], home, goal[None]]))
        if self._kinematics.has_tool:
            line = tool_line(self._kinematics, start, goal)
            yield Candidate("line", line, "" if line is not None else "the arm would leap")
        found = connect(
            start, goal, self._robot.position_min, self._robot.position_max,
            lambda path: self._check.free(path, start), seed, self._limit_s,
        )  # fmt: skip
        yield Candidate("rrt", found, "" if found is not None else "no way was found in time")


def choose(
    planners: Sequence[Planner], check: WayCheck, timed: Callable[[Array], Array], start: Array,
    goal: Array, seed: int, avoid: Collection[str] = (),
) -> Plan:  # fmt: skip
    """The first candidate that passes the check; one that failed before only where no other does.

    Args:
        planners: asked one after the other.
        check: of every way.
        timed: makes positions in time of a way; raises InputError where it cannot be gone.
        start: joint positions [n], rad.
        goal: joint positions [n], rad.
        seed: see :class:`Planner`.
        avoid: names of the candidates that have failed to be executed.

    Raises:
        AttemptFailed: none passes; says why not, of the goal itself where it is at fault.
    """
    wrong = check.standing(goal)
    if wrong:
        raise AttemptFailed(f"the goal is not allowed: {wrong}")
    why: list[str] = []
    last_choice: Plan | None = None
    for planner in planners:
        for candidate in planner.candidates(start, goal, seed):
            found = _plan(candidate, check, timed)
            if isinstance(found, str):
                why.append(f"{candidate.name}: {found}")
            elif candidate.name not in avoid:
                return found
            elif last_choice is None:
                last_choice = found
    if last_choice is not None:
        return last_choice
    raise AttemptFailed(f"no plan passes the check ({'; '.join(why)})")


def _plan(candidate: Candidate, check: WayCheck, timed: Callable[[Array], Array]) -> Plan | str:
    """The candidate in time, or why it is none."""
    if candidate.way is None:
        return candidate.why
    problem = check.problem(candidate.way)
    if problem:
        return problem
    try:
        return Plan(candidate.name, candidate.way, timed(candidate.way))
    except InputError as error:
        return error.problem


def lifted_way(
    robot: Robot, kinematics: Kinematics, limits: SafetyLimits, start: Array, lift_m: float
) -> Array | None:
    """Points [k, n] from ``start`` straight up, at most to the top of the box; None without."""
    height = lift_m
    if limits.workspace is not None:
        z = float(kinematics.fk(start).position[2])
        height = min(lift_m, float(limits.workspace.upper[2]) - NEAR - z)
    if height < SHORTEST_LIFT:
        return None
    return straight_way(robot, kinematics, start, np.array([0.0, 0.0, height]))


def straight_way(
    robot: Robot, kinematics: Kinematics, start: Array, displacement: Array
) -> Array | None:
    """Points [k, n] along which the tool moves straight by ``displacement`` [3], m, in the base
    frame, and keeps its turn; None where the arm does not reach so far, or would leap.
    """
    pose = kinematics.fk(start)
    count = max(int(np.ceil(float(np.sqrt(displacement @ displacement)) / RISE)), 1)
    rows = [start]
    for k in range(1, count + 1):
        goal = pose.position + displacement * (k / count)
        found = kinematics.solve(rows[-1], goal, pose.rotation, posture=rows[-1])
        if not found.converged or np.abs(found.q - rows[-1]).max() > LEAP:
            return None
        rows.append(found.q)
    return np.array(rows)


def tool_line(kinematics: Kinematics, start: Array, goal: Array) -> Array | None:
    """Points [k, n] from ``start`` to ``goal`` with the tool on the straight line between, so that
    it leaves no box that holds both ends; None where the arm would have to leap.
    """
    here, there = kinematics.fk(start), kinematics.fk(goal)
    way = there.position - here.position
    turn = pinocchio.log3(there.rotation @ here.rotation.T)
    length = float(np.sqrt(way @ way)) + TURN * float(np.sqrt(turn @ turn))
    count = max(int(np.ceil(length / RISE)), 1)
    rows = [start]
    for share in np.arange(1, count + 1) / count:
        found = kinematics.solve(
            rows[-1], here.position + share * way, pinocchio.exp3(share * turn) @ here.rotation,
            posture=start + share * (goal - start),
        )  # fmt: skip
        if not found.converged or np.abs(found.q - rows[-1]).max() > LEAP:
            return None
        rows.append(found.q)
    return np.array([*rows, goal])


TURN = 0.1  # m that a turn of the tool by 1 rad weighs
LEAP = 0.25  # rad that a joint may turn while the tool moves by RISE
