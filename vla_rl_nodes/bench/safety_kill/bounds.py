"""One trial's motion held against every limit: what was commanded, and what was measured."""

from __future__ import annotations

from typing import NamedTuple

import mujoco
import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.bench.safety_kill.record import Trace
from vla_rl_nodes.demo.curve import SAMPLES, Seam, follow, sample
from vla_rl_nodes.demo.limit_check import (
    ACCELERATION_TOLERANCE,
    CYCLE_S,
    JERK_TOLERANCE,
    POSITION_TOLERANCE,
    TOOL_TOLERANCE,
    VELOCITY_TOLERANCE,
)
from vla_rl_nodes.robots.kinematics import Kinematics
from vla_rl_nodes.robots.model import Robot
from vla_rl_nodes.safety.limits import SafetyLimits
from vla_rl_nodes.sim.scene import Scene
from vla_rl_nodes.sim.world import World

Array = NDArray[np.float64]

TABLE = "table"
LOOK = 0.05  # m; the table is not looked for further away


class Fault(NamedTuple):
    """What was wrong: a word for counting, and the worst of it in words."""

    kind: str
    text: str


class Bounds:
    """The limits of one robot in one scene.

    Commands are held to the safety file's share of the robot's limits, on the continuous curve
    that the controller follows along the messages. Measured positions and speeds are held to the
    robot's own limits, the measured tool point to the same box as the commanded one.

    Args:
        robot: joint limits.
        limits: shares of them, the workspace box, its tolerance.
        scene: what stands around the robot in the simulation.
    """

    def __init__(self, robot: Robot, limits: SafetyLimits, scene: Scene) -> None:
        self._robot, self._limits = robot, limits
        self._kinematics = Kinematics(robot)
        world = World(robot, scene)
        model = self._model = world.model
        self._data = mujoco.MjData(model)
        self._table = model.geom(TABLE).id
        own = model.body_rootid[model.geom_bodyid] == model.body(robot.base_frame).id
        moving = model.geom_bodyid != model.body(robot.base_frame).id  # the base is bolted to it
        self._own = np.flatnonzero(own & moving)
        assert robot.gripper is not None
        self._qpos, self._fingers = (
            [int(model.joint(joint).qposadr[0]) for joint in joints]
            for joints in (robot.joints, robot.gripper.joints)
        )

    def commanded(self, trace: Trace) -> list[Fault]:
        """Everything that was commanded beyond a limit."""
        found = [
            Fault("message", "a command is not usable or does not end at rest")
            for _ in trace.unusable
        ]
        if not trace.commands:
            return found
        robot, limits = self._robot, self._limits
        knots, seams = follow(trace.commands)
        inside = sample(knots, np.linspace(0.0, 1.0, SAMPLES + 1))
        lower, upper = robot.velocity_bounds(inside.q)
        share = limits.velocity_scale
        a = robot.acceleration_max * limits.acceleration_scale
        jerk = robot.jerk_max * limits.jerk_scale
        ranges = (robot.position_min, robot.position_max)
        found += self._joints("commanded position", inside.q, ranges, POSITION_TOLERANCE)
        found += self._joints(
            "commanded velocity", inside.v, (share * lower, share * upper), VELOCITY_TOLERANCE
        )
        found += self._joints("commanded acceleration", inside.a, (-a, a), ACCELERATION_TOLERANCE)
        found += self._joints("commanded jerk", inside.jerk, (-jerk, jerk), JERK_TOLERANCE)
        found += self._tool("commanded workspace", inside.q.reshape(-1, inside.q.shape[2]))
        return found + self._seams(seams)

    def measured(self, trace: Trace) -> list[Fault]:
        """Everything that was measured beyond a limit; see :meth:`room` for the table."""
        robot = self._robot
        if not len(trace.q):
            return [Fault("unmeasured", "no joint state was heard")]
        ranges = (robot.position_min, robot.position_max)
        found = self._joints("measured position", trace.q, ranges, POSITION_TOLERANCE)
        speeds = robot.velocity_bounds(trace.q)
        found += self._joints("measured velocity", trace.v, speeds, VELOCITY_TOLERANCE)
        return found + self._tool("measured workspace", trace.q)

    def room(self, trace: Trace) -> float:
        """Smallest distance of the moving arm to the table, by MuJoCo at the measured joints, m.

        At most ``LOOK``; negative is a touch.
        """
        least = LOOK
        model, data = self._model, self._data
        fingers = np.stack([
            np.interp(trace.joints_ns, trace.fingers_ns, column) for column in trace.fingers.T
        ], axis=1)  # fmt: skip
        for q, opening in zip(trace.q, fingers, strict=True):
            data.qpos[self._qpos], data.qpos[self._fingers] = q, opening
            mujoco.mj_kinematics(model, data)
            for geom in self._own:
                away = mujoco.mj_geomDistance(model, data, int(geom), self._table, least, None)
                least = min(least, float(away))
        return least

    def _joints(
        self, kind: str, values: Array, bounds: tuple[Array, Array], tolerance: float
    ) -> list[Fault]:
        beyond = np.maximum(values - bounds[1], bounds[0] - values)
        worst = np.unravel_index(int(beyond.argmax()), beyond.shape)
        if not beyond[worst] > tolerance:
            return []
        times = int((beyond > tolerance).sum())
        joint = self._robot.joints[int(worst[-1])]
        return [Fault(kind, f"{joint} by {beyond[worst]:.3g} at worst, {times} samples")]

    def _tool(self, kind: str, q: Array) -> list[Fault]:
        box = self._limits.workspace
        if box is None:
            return []
        points = self._kinematics.tool_points(q)
        margin = self._limits.workspace_tolerance
        out = float(np.maximum(box.lower - points, points - box.upper).max()) - margin
        return [Fault(kind, f"by {out:.3g} m at worst")] if out > TOOL_TOLERANCE else []

    def _seams(self, seams: list[Seam]) -> list[Fault]:
        most = self._robot.jerk_max * CYCLE_S**3 / 3.0
        leaps = [float((np.abs(seam.leap) / most).max()) for seam in seams]
        worst = max(leaps, default=0.0)
        if worst <= 1.0:
            return []
        return [Fault("seam", f"a message took over with {worst:.1f} times the leap allowed")]
