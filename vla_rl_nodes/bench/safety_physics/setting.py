"""What is pushed: a robot in MuJoCo over a wide table, and the filters in front of it."""

from __future__ import annotations

from dataclasses import dataclass

import mujoco
import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.bench.safety.subjects import kinds, make_contract
from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.robots.load import load_robot
from vla_rl_nodes.robots.model import Robot
from vla_rl_nodes.safety.limits import SafetyLimits, load_limits
from vla_rl_nodes.sim.scene import Floor, Scene, Table, load_scene
from vla_rl_nodes.sim.world import World

Array = NDArray[np.float64]

RATES = ((20, 100), (25, 100), (50, 250))  # of the policy and the filter, Hz
DEPTH = 1.5  # m from the base to the floor, out of everybody's reach
TABLE_M = 4.0  # edge of the table, wider than any arm reaches
TABLE = "table"
STIFF, SOFT = 0.002, 0.02  # m of a margin that an arm's drives may use up, and a leg's


@dataclass(frozen=True, eq=False)
class Setting:
    """A robot, its shipped limits and a world whose table is where those limits say it is.

    A robot with a floating base is held by its trunk, well above the floor: its base is fixed
    in the model, gravity stays on.
    """

    robot: Robot
    limits: SafetyLimits
    world: World

    @property
    def reach(self) -> float:
        """Height of the table, m; minus infinity without one."""
        planes = [plane.offset for plane in self.limits.planes if plane.name == TABLE]
        return planes[0] if planes else -np.inf

    @property
    def allowance(self) -> float:
        """How much of a margin the drives may use up, which trail behind their commands, m.

        What drives do is not the filter's to bound: a margin has to be wide enough for it. Those
        of legs are soft. At full speed they are up to 0.4 rad away from their commands, and at
        rest a leg hangs by its weight a few mm off.
        """
        return SOFT if self.robot.floating_base else STIFF

    def place(self, q: Array) -> None:
        """Puts the robot at rest at ``q`` [n], rad, with the gripper open, at time 0."""
        world = self.world
        world.reset(0)
        for name, position in zip(self.robot.joints, q, strict=True):
            world.data.qpos[world.model.joint(name).qposadr[0]] = position
        world.command_positions(q)
        mujoco.mj_forward(world.model, world.data)


def load_setting(name: str) -> Setting:
    """A shipped robot by its name."""
    robot, limits = load_robot(name), load_limits(name)
    scene: Scene = load_scene(TABLE)
    heights = [plane.offset for plane in limits.planes if plane.name == TABLE]
    table = None
    if heights and scene.table is not None:
        table = Table(
            centre_m=[0.0, 0.0],
            size_m=[TABLE_M, TABLE_M, 0.05],
            height_m=heights[0],
            colour=scene.table.colour,
        )
    floor = Floor(height_m=-DEPTH, colour=scene.floor.colour)
    scene = scene.model_copy(update={"table": table, "floor": floor, "joint_half_range_rad": 0.0})
    held = robot.model_copy(update={"floating_base": False})
    return Setting(robot, limits, World(held, scene))


def contracts(robot: Robot) -> tuple[Contract, ...]:
    """Every kind of action of a robot at every rate; neighbours differ in kind."""
    return tuple(
        make_contract(robot, kind, in_tool, rates)
        for rates in RATES
        for kind, in_tool in kinds(robot)
    )


def limits_for(limits: SafetyLimits, contract: Contract) -> SafetyLimits:
    """The same limits for a contract's axes, with residuals, which nobody sends here, at zero."""
    return limits.model_copy(update={"residual_bound": dict.fromkeys(contract.action.names, 0.0)})
