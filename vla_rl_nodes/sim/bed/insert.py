"""Put a square peg, which the hand holds firmly, into a hole."""

from __future__ import annotations

import mujoco
import numpy as np

from vla_rl_nodes.sim.bed.task import CENTRE, HALF, PEG, Vector, table, towards

PEG_WIDTH, PEG_LENGTH = 0.016, 0.06  # m
CLEARANCE = 0.001  # on each side
BLOCK, TALL = 0.08, 0.04  # of the block with the hole: width and height
DEEP = 0.02  # of the peg in the hole, for success
OVER = 0.01  # of the peg's tip above the block, before it goes down
SURE = 0.0006  # nearer to the hole's middle than this, he goes down


class Insert:
    """The hole is somewhere within 5 cm; see :class:`~vla_rl_nodes.sim.bed.task.Task`."""

    name = "insert"
    gripper = False
    sees = ("hole_x", "hole_y", "hole_z")  # the middle of its rim, from the peg's tip
    seconds = 5.0

    def add(self, spec: mujoco.MjSpec, tool: str) -> None:
        table(spec)
        spec.body(tool).add_geom(
            name="peg", type=mujoco.mjtGeom.mjGEOM_BOX, pos=[0.0, 0.0, PEG_LENGTH / 2],
            size=[PEG_WIDTH / 2, PEG_WIDTH / 2, PEG_LENGTH / 2], mass=0.03,
            friction=[0.3, 0.01, 0.0001], contype=PEG, conaffinity=PEG,
        )  # fmt: skip
        block = spec.worldbody.add_body(name="block", pos=[0.5, 0.0, TALL / 2], mocap=True)
        half, inner = BLOCK / 2, PEG_WIDTH / 2 + CLEARANCE
        middle, thick = (half + inner) / 2, (half - inner) / 2
        for x, y, wide, long in (
            (middle, 0.0, thick, half), (-middle, 0.0, thick, half),
            (0.0, middle, inner, thick), (0.0, -middle, inner, thick),
        ):  # fmt: skip
            block.add_geom(
                type=mujoco.mjtGeom.mjGEOM_BOX, pos=[x, y, 0.0], size=[wide, long, TALL / 2],
                friction=[0.3, 0.01, 0.0001], contype=PEG, conaffinity=PEG,
            )  # fmt: skip

    def start(
        self, model: mujoco.MjModel, data: mujoco.MjData, rng: np.random.Generator
    ) -> Vector:
        data.mocap_pos[0] = [*(CENTRE[:2] + rng.uniform(-0.05, 0.05, 2)), TALL / 2]
        return np.array([*(CENTRE[:2] + rng.uniform(-0.05, 0.05, 2)), rng.uniform(0.13, 0.17)])

    def _offset(self, data: mujoco.MjData, tool: Vector) -> Vector:
        rim = data.mocap_pos[0] + [0.0, 0.0, TALL / 2]
        return np.asarray(rim - (tool - [0.0, 0.0, PEG_LENGTH]))

    def see(self, data: mujoco.MjData, tool: Vector) -> Vector:
        return np.asarray(self._offset(data, tool) / HALF)

    def done(self, data: mujoco.MjData, tool: Vector) -> bool:
        x, y, z = self._offset(data, tool)
        return bool(max(abs(x), abs(y)) < 3 * CLEARANCE and z > DEEP)

    def left(self, data: mujoco.MjData, tool: Vector) -> float:
        x, y, z = self._offset(data, tool)
        return float(np.hypot(x, y)) + max(DEEP - float(z), 0.0)

    def expert(self, data: mujoco.MjData, tool: Vector, reference: Vector, aim: Vector) -> Vector:
        offset = self._offset(data, tool) + aim
        goal = tool + offset  # of the tool with the peg's tip in the rim
        inside = offset[2] > 0.002
        if not inside and float(np.abs(offset[:2]).max()) > SURE:
            # The reference is corrected by what the tool lags behind.
            goal[:2] = reference[:2] + offset[:2]
            goal[2] += OVER
            return towards(goal, reference)
        return towards(np.array([*(reference[:2] + offset[:2]), goal[2] - 2 * DEEP]), reference)
