"""Commands that are aimed at what the robot is nearest to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.bench.safety.events import Drive
from vla_rl_nodes.bench.safety.rig import Rig
from vla_rl_nodes.bench.safety.surroundings import Surroundings

Array = NDArray[np.float64]

STEP = 1e-4  # rad, of the difference quotients
NEAREST = 4  # pairs and faces among which the target is chosen


@dataclass(frozen=True)
class Aimed:
    """Full speed along the steepest way to one of the nearest pairs, walls or joint limits.

    Attributes:
        periods: how long.
        choice: which of the nearest, 0..1.
        limits: whether joints are driven to their limits instead, each to the nearer one.
    """

    periods: int
    choice: float
    limits: bool = False

    def apply(self, rig: Rig) -> None:
        """Drives there, joint by joint where actions are joints, else along the tool's way."""
        state = rig.checker.state
        if state is None:
            return
        q, robot = state[0], rig.subject.robot
        if self.limits:
            middle = 0.5 * (robot.position_min + robot.position_max)
            way = np.where(q > middle, 1.0, -1.0)
        else:
            way = steepest(rig.checker.surroundings, q, rig.width, self.choice)
        Drive(np.tile(shares(rig, q, way), (self.periods, 1))).apply(rig)


def steepest(surroundings: Surroundings, q: Array, width: float, choice: float) -> Array:
    """Direction [n] of joint motion, components -1..1, in which the chosen room shrinks most."""
    places = np.concatenate([q[np.newaxis], q + STEP * np.eye(len(q))])
    rooms = surroundings.rooms(places, np.full(len(places), width))
    every = np.concatenate([rooms.pairs, rooms.box], axis=1)
    if every.shape[1] == 0:
        return np.ones(len(q))
    nearest = np.argsort(every[0])[:NEAREST]
    chosen = nearest[min(int(choice * len(nearest)), len(nearest) - 1)]
    slope = (every[1:, chosen] - every[0, chosen]) / STEP
    most = float(np.abs(slope).max())
    return np.zeros(len(q)) if most == 0.0 else -slope / most


def shares(rig: Rig, q: Array, way: Array) -> Array:
    """An action [axes], as shares of its ranges, that moves the joints along ``way`` [n]."""
    action, robot = rig.subject.contract.action, rig.subject.robot
    row = np.full(len(action.axes), 0.5)
    count = len(robot.joints)
    if action.kind == "joint_delta":
        row[:count] = 0.5 + 0.5 * way
    elif action.kind == "joint_position":
        span = action.maximum[:count] - action.minimum[:count]
        row[:count] = np.clip((q - action.minimum[:count]) / span + 0.3 * way, 0.0, 1.0)
    elif robot.tool_frame is not None:
        chain = rig.checker.surroundings.chain
        placed = chain.place(q[np.newaxis])
        velocity = chain.point_velocity(placed, robot.tool_frame, way[np.newaxis])[0]
        if action.frame == robot.tool_frame:
            velocity = placed.frames[robot.tool_frame].rotation[0].T @ velocity
        row[:3] = 0.5 + 0.5 * velocity / max(float(np.abs(velocity).max()), 1e-9)
    return row
