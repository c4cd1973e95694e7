"""How long the simulated servos move on when their command has come to rest, measured alone.

No filter, no ROS: the physics of the simulation, its trajectory controller, and stops from the
greatest speeds that the safety limits allow.
"""

from __future__ import annotations

import mujoco
import numpy as np

from vla_rl_nodes.robots.model import Robot
from vla_rl_nodes.safety.limits import SafetyLimits
from vla_rl_nodes.safety.stop import Stopping
from vla_rl_nodes.sim.model import TIMESTEP_S
from vla_rl_nodes.sim.scene import Scene
from vla_rl_nodes.sim.world import World

STOPS = 200
WATCHED_S = 1.0  # after the command's rest


def settling_s(
    robot: Robot,
    scene: Scene,
    limits: SafetyLimits,
    dt: float,
    at_rest: float,
    seed: int,
    stops: int = STOPS,
) -> float:
    """Longest time from the rest of the command to the rest of every joint, s.

    Each stop begins where a reset of the scene puts the arm, in a direction of its
    own, with the joint that is nearest to it at its scaled speed limit.

    Args:
        robot: the robot.
        scene: says where the arm starts.
        limits: velocity, acceleration and jerk scales.
        dt: the filter's period, s.
        at_rest: speed below which a joint is at rest, rad/s.
        seed: of the starts and directions.
        stops: how many.
    """
    generator = np.random.default_rng([seed, 7])
    stopping = Stopping(
        robot.acceleration_max * limits.acceleration_scale, robot.jerk_max * limits.jerk_scale, dt
    )
    world = World(robot, scene, seed)
    world.model.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_CONTACT  # nothing is in the way
    none = np.zeros(len(robot.joints))
    longest = 0.0
    for number in range(stops):
        world.reset(seed + number)
        start = world.joint_positions
        way = generator.uniform(-1.0, 1.0, len(none))
        v = way * np.min(limits.velocity_scale * robot.velocity_max / np.abs(way))
        stop = stopping.plan(start, v, none)
        # Up to speed is the stop's own way backwards.
        there = stop.q[-1] - stop.q[::-1]
        q = start + np.concatenate([there, there[-1] + stop.q[1:] - start])
        velocities = np.concatenate([stop.v[::-1], stop.v[1:]])
        accelerations = np.concatenate([-stop.a[::-1], stop.a[1:]])
        times = dt * np.arange(len(q), dtype=np.float64)
        world.command_trajectory(times, q, velocities, accelerations)
        while world.time_s < times[-1]:
            world.step()
        moved = 0.0
        for step in range(1, round(WATCHED_S / TIMESTEP_S) + 1):
            world.step()
            if np.abs(world.joint_velocities).max() >= at_rest:
                moved = step * TIMESTEP_S
        longest = max(longest, moved)
    return longest
