"""Push a cube over the table to a place, with closed fingers."""

from __future__ import annotations

import mujoco
import numpy as np

from vla_rl_nodes.sim.bed.task import CENTRE, HALF, TOUCHING, Vector, put, table, towards

EDGE = 0.04  # m
NEAR = 0.02  # of the cube's centre from its goal
LOW, HIGH = 0.025, 0.075  # of the tool: pushing, and on its way round the cube
BEHIND = 0.05  # of the tool from the cube's centre, before it pushes
ASIDE = 0.01  # further off the line of the push than this, he goes round anew


class Push:
    """The goal lies 6 to 10 cm from the cube; see :class:`~vla_rl_nodes.sim.bed.task.Task`."""

    name = "push"
    gripper = False
    sees = ("cube_x", "cube_y", "goal_x", "goal_y")  # from the tool, and from the cube
    seconds = 6.0

    def __init__(self) -> None:
        self._goal = CENTRE[:2]

    def add(self, spec: mujoco.MjSpec, tool: str) -> None:
        table(spec)
        body = spec.worldbody.add_body(name="cube", pos=[0.5, 0.0, EDGE / 2])
        body.add_freejoint(name="cube")
        body.add_geom(
            type=mujoco.mjtGeom.mjGEOM_BOX, size=[EDGE / 2] * 3, mass=0.06,
            friction=[0.6, 0.02, 0.0005], contype=TOUCHING, conaffinity=TOUCHING, condim=4,
        )  # fmt: skip

    def start(
        self, model: mujoco.MjModel, data: mujoco.MjData, rng: np.random.Generator
    ) -> Vector:
        cube = CENTRE[:2] + rng.uniform(-0.04, 0.04, 2)
        turn, far = rng.uniform(-np.pi, np.pi), rng.uniform(0.06, 0.10)
        inside = 0.7 * HALF[:2]
        self._goal = np.clip(
            cube + far * np.array([np.cos(turn), np.sin(turn)]),
            CENTRE[:2] - inside, CENTRE[:2] + inside,
        )  # fmt: skip
        put(model, data, "cube", np.array([*cube, EDGE / 2]), rng.uniform(-0.3, 0.3))
        return np.array([*(CENTRE[:2] + rng.uniform(-0.06, 0.06, 2)), 0.12])

    def see(self, data: mujoco.MjData, tool: Vector) -> Vector:
        cube = data.body("cube").xpos[:2]
        return np.asarray(np.concatenate([cube - tool[:2], self._goal - cube]) / HALF[0])

    def done(self, data: mujoco.MjData, tool: Vector) -> bool:
        return bool(np.linalg.norm(self._goal - data.body("cube").xpos[:2]) < NEAR)

    def left(self, data: mujoco.MjData, tool: Vector) -> float:
        way = self._goal - data.body("cube").xpos[:2]
        far = float(np.linalg.norm(way))
        start = data.body("cube").xpos[:2] - BEHIND * way / max(far, 1e-6)
        return far + float(np.linalg.norm(np.array([*start, LOW]) - tool))

    def expert(self, data: mujoco.MjData, tool: Vector, reference: Vector, aim: Vector) -> Vector:
        cube = data.body("cube").xpos[:2] + aim[:2]
        way = self._goal - cube
        along = way / max(float(np.linalg.norm(way)), 1e-6)
        off = tool[:2] - cube
        forth = float(off @ along)
        aside = abs(float(off[0] * along[1] - off[1] * along[0]))
        if forth < -EDGE / 2 and aside < ASIDE:
            if tool[2] > LOW + 0.01:
                return towards(np.array([*(cube - BEHIND * along), LOW]), reference)
            return towards(np.array([*self._goal, LOW]), reference)
        start = cube - BEHIND * along
        low = HIGH if float(np.linalg.norm(tool[:2] - start)) > ASIDE else LOW
        if low == HIGH and tool[2] < HIGH - 0.015:
            return towards(np.array([*reference[:2], HIGH]), reference)
        return towards(np.array([*start, low]), reference)
