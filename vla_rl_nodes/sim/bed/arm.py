"""An FR3 that is moved by deltas of its tool at 20 Hz over 500 Hz physics, seen as a vector."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import mujoco
import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.robots.kinematics import Kinematics
from vla_rl_nodes.robots.load import load_robot
from vla_rl_nodes.robots.tool_frame import rotation_from_yaw
from vla_rl_nodes.sim.bed.insert import Insert
from vla_rl_nodes.sim.bed.pick import Pick
from vla_rl_nodes.sim.bed.push import Push
from vla_rl_nodes.sim.bed.reach import Reach
from vla_rl_nodes.sim.bed.task import CENTRE, HALF, STEP, TOUCHING, Task, Vector
from vla_rl_nodes.sim.model import GRIPPER_ACTUATOR, robot_spec

HZ = 20
TIMESTEP_S = 0.002
PHYSICS = round(1 / (HZ * TIMESTEP_S))  # steps of the physics in a tick
AHEAD = 0.03  # m: the reference is never further from the tool, whatever is in the way
OPEN, CLOSED = 0.08, 0.0  # m
TASKS: dict[str, Callable[[], Task]] = {
    "reach": Reach,
    "push": Push,
    "insert": Insert,
    "pick": Pick,
}

Seen = NDArray[np.float32]


class Step(NamedTuple):
    """What an action led to.

    Attributes:
        seen: what is seen afterwards, float32 [S].
        reward: 1 where the task has succeeded, else 0.
        terminated: it has succeeded; an episode goes no further.
        truncated: the time is up, and it has not.
    """

    seen: Seen
    reward: float
    terminated: bool
    truncated: bool


class ArmBed:
    """One arm with one task; nothing in it depends on how fast the machine is.

    What is seen: the tool's place in the box and how far the reference is ahead of it, each in -1
    to 1, the fingers' opening where the task has a gripper, then what the task shows. Actions are
    deltas of the reference, each axis in -1 to 1 for up to 8 mm, and the gripper opens above 0.

    Args:
        task: one of ``TASKS``.

    Raises:
        InputError: no such task.
    """

    def __init__(self, task: str) -> None:
        if task not in TASKS:
            raise InputError(f"task {task}", "is unknown", f"give one of {', '.join(TASKS)}")
        self.task = TASKS[task]()
        robot = load_robot("fr3")
        assert robot.gripper is not None and robot.tool_frame is not None
        self._home, self._kinematics = robot.home, Kinematics(robot)
        spec = robot_spec(robot)
        spec.option.timestep = TIMESTEP_S
        spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
        spec.option.cone = mujoco.mjtCone.mjCONE_ELLIPTIC
        spec.option.impratio = 5.0
        fingers = [spec.joint(name).parent.name for name in robot.gripper.joints]
        for geom in spec.geoms:
            # The links are never near anything in this box; their contacts would cost time.
            touching = geom.parent.name in fingers
            geom.contype = geom.conaffinity = TOUCHING if touching else 0
            geom.friction = [1.5, 0.02, 0.0005]
        self.task.add(spec, robot.tool_frame)
        self.model = spec.compile()
        self.data = mujoco.MjData(self.model)
        self._tool = self.model.body(robot.tool_frame).id
        self._joints = [self.model.joint(name).qposadr[0] for name in robot.joints]
        self._fingers = [self.model.joint(name).qposadr[0] for name in robot.gripper.joints]
        self._servos = [self.model.actuator(name).id for name in robot.joints]
        self._gripper = self.model.actuator(GRIPPER_ACTUATOR).id
        self._down = rotation_from_yaw(0.0)
        self._reference = self._q = np.zeros(0)
        self._ticks = 0
        self.actions = ("x", "y", "z", *(("gripper",) if self.task.gripper else ()))
        opening = ("opening",) if self.task.gripper else ()
        self.sees = (
            "tool_x", "tool_y", "tool_z", "ahead_x", "ahead_y", "ahead_z", *opening,
            *self.task.sees,
        )  # fmt: skip
        self.limit = round(self.task.seconds * HZ)

    @property
    def tool(self) -> Vector:
        """Where the tool is [3], m."""
        return np.asarray(self.data.xpos[self._tool].copy())

    def start(self, seed: int) -> Seen:
        """A new episode; the same seed begins in the same state."""
        mujoco.mj_resetData(self.model, self.data)
        place = self.task.start(self.model, self.data, np.random.default_rng(seed))
        self._reference = place
        found = self._kinematics.solve(self._home, place, self._down, iterations=200)
        assert found.converged  # the whole box is within reach
        self._q = found.q
        width = OPEN if self.task.gripper else CLOSED
        self.data.qpos[self._joints] = self._q
        self.data.qpos[self._fingers] = width / 2
        self.data.ctrl[self._servos], self.data.ctrl[self._gripper] = self._q, width
        mujoco.mj_forward(self.model, self.data)
        self._ticks = 0
        return self._see()

    def step(self, action: NDArray[np.floating]) -> Step:
        """One tick.

        Args:
            action: float [A]; what is outside -1 to 1 is taken for -1 or 1.

        Raises:
            InputError: it has another length, or is not finite.
        """
        if action.shape != (len(self.actions),) or not np.isfinite(action).all():
            raise InputError("action", "is not usable", f"give {len(self.actions)} finite numbers")
        bounded = np.clip(action.astype(np.float64), -1.0, 1.0)
        moved = np.clip(self._reference + STEP * bounded[:3], CENTRE - HALF, CENTRE + HALF)
        self._reference = np.clip(moved, self.tool - AHEAD, self.tool + AHEAD)
        self._q = self._kinematics.solve(
            self._q, self._reference, self._down, tolerance=1e-5, iterations=6
        ).q
        self.data.ctrl[self._servos] = self._q
        if self.task.gripper:
            self.data.ctrl[self._gripper] = OPEN if bounded[3] > 0.0 else CLOSED
        mujoco.mj_step(self.model, self.data, PHYSICS)
        self._ticks += 1
        done = self.task.done(self.data, self.tool)
        return Step(self._see(), float(done), done, not done and self._ticks >= self.limit)

    def expert(self, aim: Vector | None = None) -> Vector:
        """What somebody who sees everything would do [A]; ``aim`` [3] m is his mistake."""
        mistake = np.zeros(3) if aim is None else aim
        return self.task.expert(self.data, self.tool, self._reference, mistake)

    def _see(self) -> Seen:
        tool = self.tool
        opening = [self.data.qpos[self._fingers].sum() / OPEN] if self.task.gripper else []
        parts = (
            (tool - CENTRE) / HALF, (self._reference - tool) / AHEAD, opening,
            self.task.see(self.data, tool),
        )  # fmt: skip
        return np.concatenate(parts).astype(np.float32)
