"""The true projection, solved offline on the nonlinear problem, and cases just outside a limit.

Shares the robot's kinematics and distances with the filter, and nothing of how it decides.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import pinocchio
from scipy.optimize import minimize

from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.contract.spec import Action
from vla_rl_nodes.robots.kinematics import Kinematics
from vla_rl_nodes.robots.load import load_robot
from vla_rl_nodes.robots.model import Robot
from vla_rl_nodes.robots.tool_frame import rotation_from_yaw, yaw_from_rotation
from vla_rl_nodes.safety.clearance import Clearance
from vla_rl_nodes.safety.limits import SafetyLimits, load_limits
from vla_rl_nodes.safety.reasons import Reason
from vla_rl_nodes.safety.targets.make import make_target

Array = np.ndarray

TICKS, DT = 5, 0.01
PERIOD = TICKS * DT
WIDE = {"x": [-0.8, 0.9], "y": [-0.8, 0.8], "z": [0.0, 1.2]}


@lru_cache
def robot(name: str = "fr3") -> Robot:
    return load_robot(name)


@lru_cache
def kinematics(name: str = "fr3") -> Kinematics:
    return Kinematics(robot(name))


def changed(name: str = "franka_pick", **keys: Any) -> SafetyLimits:
    """A shipped limits file with some keys replaced."""
    shipped = load_limits(name).model_dump()
    return SafetyLimits.model_validate({**shipped, **keys})


def action_of(kind: str, name: str = "fr3", frame: str | None = None) -> Action:
    """An action of a kind, with bounds like those of the shipped contract."""
    if kind == "tool_delta":
        return load_contract("franka_pick").action
    of = robot(name)
    if kind == "tool_pose_delta":
        axes = [(f"tool_{a}", "m", 0.02) for a in "xyz"]
        axes += [(f"tool_r{a}", "rad", 0.15) for a in "xyz"]
    else:
        axes = [(joint, "rad", 7.0 if kind == "joint_position" else 0.3) for joint in of.joints]
    return Action.model_validate({
        "kind": kind, "frame": frame or of.base_frame, "chunk_length": 4, "max_delay": 1,
        "axes": [{"name": n, "unit": u, "minimum": -m, "maximum": m} for n, u, m in axes],
    })  # fmt: skip


def target_at(q: Array, limits: SafetyLimits, action: Action, name: str = "fr3") -> Any:
    """A target at rest at ``q``."""
    of = robot(name)
    width = 0.05 if of.gripper is not None and action.has_gripper else None
    clearance = Clearance(of, limits)
    clearance.restart(q)
    return make_target(
        of, kinematics(name), clearance, action, limits, TICKS, DT, q.copy(), width
    )


def tool_at(x: float, y: float, z: float, yaw: float = 0.0, start: Array | None = None) -> Any:
    """Joint positions with the Franka's tool there, pointing down; None: out of reach."""
    found = kinematics().solve(
        robot().home if start is None else start, np.array([x, y, z]), rotation_from_yaw(yaw),
        iterations=200,
    )  # fmt: skip
    return found.q if found.converged else None


class Case(NamedTuple):
    """An action that leads out of the limits from a configuration at rest."""

    q: Array
    limits: SafetyLimits
    action: Array
    reason: Reason


class Offline:
    """The nonlinear problem: the admissible joint positions whose pose is nearest to the wanted.

    Targets keep ``workspace_tolerance`` more than a margin (at most twice the margin); what is
    closer at the start may stay so, not come closer. Both are part of the problem here.
    """

    def __init__(self, case: Case, of: Robot, clearance: Clearance) -> None:
        self.case, self.of, self.clearance = case, of, clearance
        self.needed = clearance.margins + np.minimum(
            clearance.margins, case.limits.workspace_tolerance
        )
        room = clearance.distances(case.q) - self.needed
        self.floor = np.minimum(room, 0.0)
        self.near = np.flatnonzero(room < 0.1)

    def bounds(self) -> list[tuple[float, float]]:
        return list(zip(self.of.position_min, self.of.position_max, strict=True))

    def velocity(self, q: Array) -> Array:
        low, high = self.of.velocity_bounds(q)
        share = self.case.limits.velocity_scale * PERIOD
        move = q - self.case.q
        return np.concatenate([move - low * share, high * share - move])

    def distance(self, q: Array) -> Array:
        return (self.clearance.distances(q) - self.needed - self.floor)[self.near]

    def box(self, q: Array, point: Array) -> Array:
        rule = self.case.limits.workspace
        assert rule is not None
        start = self.clearance.point(self.case.q, self.of.tool_frame or "")[0]
        low, high = np.minimum(rule.lower, start), np.maximum(rule.upper, start)
        return np.concatenate([point - low, high - point])

    def least(
        self,
        cost: Callable[[Array], float],
        limits: list[Callable[[Array], Array]],
        equal: list[Callable[[Array], Array]],
        starts: list[Array],
    ) -> float:
        """The least cost over several starts, of solutions that keep everything to 1e-6."""
        found = np.inf
        rules = [{"type": "ineq", "fun": rule} for rule in limits]
        rules += [{"type": "eq", "fun": rule} for rule in equal]
        for start in starts:
            answer = minimize(
                cost, start, method="SLSQP", bounds=self.bounds(), constraints=rules,
                options={"maxiter": 80, "ftol": 1e-12},
            )  # fmt: skip
            kept = all((rule(answer.x) >= -1e-6).all() for rule in limits)
            kept &= all((np.abs(rule(answer.x)) <= 1e-6).all() for rule in equal)
            if kept:
                found = min(found, float(answer.fun))
        return found


def true_tool_change(case: Case) -> float:
    """The least change, m, of a tool_delta action that keeps the limits."""
    of, kin = robot(), kinematics()
    problem = Offline(case, of, Clearance(of, case.limits))
    start = kin.fk(case.q)
    yaw = yaw_from_rotation(start.rotation)
    length = case.limits.rotation_length
    scale = 100.0  # costs of 1 where a change is 1 cm

    def cost(q: Array) -> float:
        pose = kin.fk(q)
        way = pose.position - start.position - case.action[:3]
        turn = np.remainder(yaw_from_rotation(pose.rotation) - yaw - case.action[3] + np.pi,
                            2 * np.pi) - np.pi  # fmt: skip
        return scale**2 * float(way @ way + (length * turn) ** 2)

    def level(q: Array) -> Array:
        return 10.0 * kin.fk(q).rotation[:2, 2]

    limits = [
        lambda q: 10.0 * problem.velocity(q),
        lambda q: 10.0 * problem.box(q, kin.fk(q).position),
    ]
    if len(problem.near):
        limits.append(lambda q: 10.0 * problem.distance(q))
    jacobian = kin.jacobian(case.q)
    ahead = np.linalg.lstsq(jacobian, np.array([*case.action[:3], 0, 0, case.action[3]]))[0]
    aside = np.linalg.svd(jacobian)[2][-1]  # the elbow's own motion
    starts = [case.q, case.q + 0.5 * ahead, case.q + 0.03 * aside, case.q - 0.03 * aside]
    return float(np.sqrt(problem.least(cost, limits, [level], starts))) / scale


def true_joint_change(case: Case, name: str = "fr3") -> float:
    """The least change, rad, of a joint_position action that keeps the limits."""
    of, kin = robot(name), kinematics(name)
    problem = Offline(case, of, Clearance(of, case.limits))

    def cost(q: Array) -> float:
        return 100.0 * float((q - case.action) @ (q - case.action))

    limits = [lambda q: 10.0 * problem.velocity(q)]
    if case.limits.workspace is not None:
        limits.append(lambda q: 10.0 * problem.box(q, kin.fk(q).position))
    if len(problem.near):
        limits.append(lambda q: 10.0 * problem.distance(q))
    half = 0.5 * (case.q + case.action)
    return float(np.sqrt(problem.least(cost, limits, [], [case.q, half]))) / 10.0


def tool_change(case: Case, values: Array) -> float:
    """By how much an executed tool_delta differs from the proposed, m."""
    away = values[:4] - case.action[:4]
    return float(np.sqrt(away[:3] @ away[:3] + (case.limits.rotation_length * away[3]) ** 2))


def turn_between(one: Array, other: Array) -> float:
    """Angle between two rotations, rad."""
    return float(np.linalg.norm(pinocchio.log3(one.T @ other)))
