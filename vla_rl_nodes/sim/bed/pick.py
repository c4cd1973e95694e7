"""Grasp a cube and lift it."""

from __future__ import annotations

import mujoco
import numpy as np

from vla_rl_nodes.sim.bed.task import CENTRE, HALF, TOUCHING, Vector, put, table, towards
from vla_rl_nodes.sim.surroundings import harden

EDGE = 0.04  # m
GRASP = 0.02  # of the tool, with the cube between the fingers
HOVER = 0.075
LIFT = 0.08  # of the cube, for success
BESIDE = 0.008  # further off than this, he does not go down
AROUND = 0.012


class Pick:
    """The cube lies within 5 cm, turned a little; see :class:`~vla_rl_nodes.sim.bed.task.Task`."""

    name = "pick"
    gripper = True
    sees = ("cube_x", "cube_y", "cube_z")  # from the tool
    seconds = 6.0

    def add(self, spec: mujoco.MjSpec, tool: str) -> None:
        table(spec)
        body = spec.worldbody.add_body(name="cube", pos=[0.5, 0.0, EDGE / 2])
        body.add_freejoint(name="cube")
        geom = body.add_geom(
            type=mujoco.mjtGeom.mjGEOM_BOX, size=[EDGE / 2] * 3, mass=0.06,
            friction=[1.0, 0.02, 0.0005], contype=TOUCHING, conaffinity=TOUCHING,
        )  # fmt: skip
        harden(geom)

    def start(
        self, model: mujoco.MjModel, data: mujoco.MjData, rng: np.random.Generator
    ) -> Vector:
        cube = np.array([*(CENTRE[:2] + rng.uniform(-0.05, 0.05, 2)), EDGE / 2])
        put(model, data, "cube", cube, rng.uniform(-0.15, 0.15))
        return np.array([*(CENTRE[:2] + rng.uniform(-0.05, 0.05, 2)), rng.uniform(0.12, 0.18)])

    def see(self, data: mujoco.MjData, tool: Vector) -> Vector:
        return np.asarray((data.body("cube").xpos - tool) / HALF)

    def done(self, data: mujoco.MjData, tool: Vector) -> bool:
        return bool(data.body("cube").xpos[2] > EDGE / 2 + LIFT)

    def left(self, data: mujoco.MjData, tool: Vector) -> float:
        cube = data.body("cube").xpos
        return float(np.linalg.norm(cube - tool)) + max(EDGE / 2 + LIFT - float(cube[2]), 0.0)

    def expert(self, data: mujoco.MjData, tool: Vector, reference: Vector, aim: Vector) -> Vector:
        cube = data.body("cube").xpos + aim
        off = cube - tool
        sideways = float(np.linalg.norm(off[:2]))
        if sideways < AROUND and abs(off[2]) < AROUND:
            held = float(data.actuator("gripper_width").length[0]) < 1.3 * EDGE
            goal = np.array([*cube[:2], 0.2 if held else GRASP])
            return np.array([*towards(goal, reference), -1.0])
        low = GRASP if sideways < BESIDE else HOVER
        return np.array([*towards(np.array([*cube[:2], low]), reference), 1.0])
