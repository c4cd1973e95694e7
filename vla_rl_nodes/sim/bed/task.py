"""What a task of the bed adds to the arm: bodies, a start, what is seen, and when it is done."""

from __future__ import annotations

from typing import Protocol

import mujoco
import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]

# The box that the tool moves in, in the base frame; the table's top is at a height of 0.
CENTRE = np.array([0.50, 0.0, 0.12])  # m
HALF = np.array([0.14, 0.14, 0.105])
STEP = 0.008  # m: what an action of 1 moves the reference by in a tick

# Contacts are between what a bit is set in on both sides.
TOUCHING = 1  # table, objects, hand and fingers
PEG = 2  # the peg, its hole and the table


class Task(Protocol):
    """One task; lengths in m, positions in the base frame."""

    @property
    def name(self) -> str:
        """Of the task."""

    @property
    def gripper(self) -> bool:
        """Whether the action has an axis for it."""

    @property
    def sees(self) -> tuple[str, ...]:
        """Names of what is seen beside the tool."""

    @property
    def seconds(self) -> float:
        """Time limit of an episode."""

    def add(self, spec: mujoco.MjSpec, tool: str) -> None:
        """Adds the task's bodies to the arm's; ``tool`` names the body of the tool's frame."""

    def start(
        self, model: mujoco.MjModel, data: mujoco.MjData, rng: np.random.Generator
    ) -> Vector:
        """Draws the start and puts the bodies there; returns where the tool begins [3]."""

    def see(self, data: mujoco.MjData, tool: Vector) -> Vector:
        """What ``sees`` names, in half ranges of the box."""

    def done(self, data: mujoco.MjData, tool: Vector) -> bool:
        """Whether the task has succeeded now."""

    def left(self, data: mujoco.MjData, tool: Vector) -> float:
        """About how far the tool still has to go, m."""

    def expert(self, data: mujoco.MjData, tool: Vector, reference: Vector, aim: Vector) -> Vector:
        """The action [A] of somebody who sees everything, each axis in -1 to 1.

        Args:
            data: everything.
            tool: where the tool is [3].
            reference: where it is commanded to be [3].
            aim: added to where he thinks that the object is [3]: nothing, or his mistake.
        """


def towards(goal: Vector, reference: Vector) -> Vector:
    """The action [3] that moves the reference to a goal as fast as it may."""
    step = (goal - reference) / STEP
    longest = float(np.abs(step).max())
    return step / longest if longest > 1.0 else step


def table(spec: mujoco.MjSpec) -> None:
    """A table top at a height of 0."""
    spec.worldbody.add_geom(
        name="table", type=mujoco.mjtGeom.mjGEOM_BOX, pos=[0.5, 0.0, -0.02],
        size=[0.4, 0.4, 0.02], contype=TOUCHING | PEG, conaffinity=TOUCHING | PEG,
    )  # fmt: skip


def put(model: mujoco.MjModel, data: mujoco.MjData, body: str, place: Vector, yaw: float) -> None:
    """Puts a free body somewhere, at rest, turned about the vertical."""
    joint = model.joint(body)
    at, speed = int(joint.qposadr[0]), int(joint.dofadr[0])
    data.qpos[at : at + 3] = place
    data.qpos[at + 3 : at + 7] = [np.cos(yaw / 2), 0.0, 0.0, np.sin(yaw / 2)]
    data.qvel[speed : speed + 6] = 0.0
