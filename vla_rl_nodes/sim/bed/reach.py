"""Bring the tool to a point."""

from __future__ import annotations

import mujoco
import numpy as np

from vla_rl_nodes.sim.bed.task import CENTRE, HALF, Vector, table, towards

NEAR = 0.012  # m


class Reach:
    """The goal is drawn from the box; see :class:`~vla_rl_nodes.sim.bed.task.Task`."""

    name = "reach"
    gripper = False
    sees = ("goal_x", "goal_y", "goal_z")  # from the tool
    seconds = 3.0

    def __init__(self) -> None:
        self._goal = CENTRE

    def add(self, spec: mujoco.MjSpec, tool: str) -> None:
        table(spec)

    def start(
        self, model: mujoco.MjModel, data: mujoco.MjData, rng: np.random.Generator
    ) -> Vector:
        self._goal = CENTRE + 0.8 * HALF * rng.uniform(-1.0, 1.0, 3)
        return np.asarray(CENTRE + 0.5 * HALF * rng.uniform(-1.0, 1.0, 3))

    def see(self, data: mujoco.MjData, tool: Vector) -> Vector:
        return np.asarray((self._goal - tool) / HALF)

    def done(self, data: mujoco.MjData, tool: Vector) -> bool:
        return bool(np.linalg.norm(self._goal - tool) < NEAR)

    def left(self, data: mujoco.MjData, tool: Vector) -> float:
        return float(np.linalg.norm(self._goal - tool))

    def expert(self, data: mujoco.MjData, tool: Vector, reference: Vector, aim: Vector) -> Vector:
        return towards(self._goal + aim, reference)
