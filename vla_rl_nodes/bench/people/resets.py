"""Resets from bad starts: how often the robot gets to the task's start by itself, and what it
says where it does not. Physics, safety filter and the reset's own code, in simulated time.
"""

from __future__ import annotations

import json
import sys
import time
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field

import numpy as np

from vla_rl_nodes.bench.machine import machine
from vla_rl_nodes.bench.people.reset_loop import LivingWorld
from vla_rl_nodes.bench.people.reset_starts import KINDS, BadStart, Starts
from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.episodes.reset.draw import draw
from vla_rl_nodes.episodes.reset.settings import Mode, ResetSettings
from vla_rl_nodes.sim.rollout import Rollout

TASK, CUBE = "franka_pick", "cube"
FALLS_S = 0.6  # that things are given to come to rest before the reset begins
CLOSES_S = 0.3


@dataclass
class OfKind:
    """What became of the starts of one kind; times in simulated s."""

    starts: int = 0
    done: int = 0
    true: int = 0  # of these, where arm and cube are where they should be, by the physics itself
    asked: int = 0
    attempts: int = 0
    seconds: float = 0.0  # of all that were done
    plans: dict[str, int] = field(default_factory=dict)
    reasons: dict[str, int] = field(default_factory=dict)


@dataclass
class Resets:
    """The whole measurement.

    Attributes:
        starts: how many.
        done: that reached a verified start by themselves.
        false: of these, that the physics does not bear out.
        reachable: starts that a robot can get out of by itself.
        success: share of the reachable starts that were done.
        asked: that asked a person.
        asked_without_reason: of these, without saying why.
        commands: that reached the controllers.
        bypasses: of these that were no output of the filter's.
        joint_plans: motions that were planned and begun.
        leaps: how often anything was put somewhere during a reset.
        kinds: by kind.
        wall_s: real time.
    """

    starts: int = 0
    done: int = 0
    false: int = 0
    reachable: int = 0
    success: float = 0.0
    asked: int = 0
    asked_without_reason: int = 0
    commands: int = 0
    bypasses: int = 0
    joint_plans: int = 0
    leaps: int = 0
    kinds: dict[str, OfKind] = field(default_factory=dict)
    wall_s: float = 0.0


def run_resets(
    seed: int,
    share: float = 1.0,
    settings: ResetSettings | None = None,
    progress: Callable[[Resets], None] = lambda so_far: None,
) -> Resets:
    """Resets from every start of ``reset_starts.KINDS``.

    Args:
        seed: of the starts.
        share: of the 200; at least one of each kind.
        settings: of the resets.
        progress: told after each.
    """
    result, began, done_reachable = Resets(), time.monotonic(), 0
    contract = load_contract(TASK)
    with Rollout(contract, cameras=False) as rollout:
        limits = rollout.limits
        for start in Starts(rollout.robot, limits, TASK).all(seed, share):
            rollout.limits = limits.model_copy(update={"obstacles": list(start.obstacles)})
            world = LivingWorld(rollout, start.seed, settings or ResetSettings(), TASK)
            _prepare(world, start)
            run = world.reset(Mode.START, start.seed)
            of = result.kinds.setdefault(start.kind, OfKind())
            of.starts += 1
            of.attempts += run.progress.attempt
            of.plans = dict(Counter(of.plans) + Counter(run.progress.plans))
            if run.done:
                of.done += 1
                of.seconds += run.seconds
                of.true += _borne_out(world, start.seed)
                done_reachable += KINDS[start.kind].reachable
            else:
                of.asked += 1
                of.reasons = dict(Counter(of.reasons) + Counter([run.progress.reason]))
                result.asked_without_reason += not run.progress.reason
            result.reachable += KINDS[start.kind].reachable
            result.starts += 1
            result.done += run.done
            result.asked += not run.done
            result.false = sum(kind.done - kind.true for kind in result.kinds.values())
            result.success = done_reachable / max(result.reachable, 1)
            result.joint_plans += len(run.progress.plans)
            result.commands += world.ledger.commands
            result.bypasses += world.ledger.bypasses
            result.leaps += world.ledger.leaps
            result.wall_s = time.monotonic() - began
            progress(result)
    return result


def _prepare(world: LivingWorld, start: BadStart) -> None:
    """Puts the world to the start, and waits until what falls has fallen."""
    robot = world.world.robot
    assert robot.gripper is not None
    state = dict(zip(world.world.names, world.world.named_state()[1].tolist(), strict=True))
    state |= dict(zip(robot.joints, start.joints.tolist(), strict=True))
    state |= dict.fromkeys(robot.gripper.joints, start.finger)
    parts = ("x", "y", "z", "qw", "qx", "qy", "qz")
    state |= {f"{CUBE}_{p}": v for p, v in zip(parts, start.cube.tolist(), strict=True)}
    world.put(state)
    if start.closes:
        world.close_gripper()
    world.let_time_pass(CLOSES_S if start.closes else FALLS_S)


def _borne_out(world: LivingWorld, seed: int) -> bool:
    """Whether the physics itself shows the arm at the seed's start and the cube in its area."""
    rollout_robot, script = world.world.robot, world.kit.script
    assert script is not None
    goal = draw(rollout_robot, world.kit.kinematics, script, seed).joints
    position, _ = world.world.object_pose(CUBE)
    spawn = world.world.scene.objects[0].spawn
    away = np.abs(position[:2] - np.array(spawn.centre_m)) - np.array(spawn.half_range_m)
    return bool(
        np.abs(world.world.joint_positions - goal).max() < 0.03
        and away.max() < 0.01
        and abs(position[2] - 0.02) < 0.005
        and world.world.gripper_width > 0.07
    )


def main(arguments: list[str] | None = None) -> int:
    """``python -m vla_rl_nodes.bench.people.resets``."""
    parser = ArgumentParser(description="Resets from bad starts, in simulated time.")
    parser.add_argument("--seed", type=int, default=0, help="of the starts (0)")
    parser.add_argument("--share", type=float, default=1.0, help="of the 200 starts (1.0)")
    parser.add_argument("--json", action="store_true", help="print one JSON object on one line")
    given = parser.parse_args(arguments)

    def tell(so_far: Resets) -> None:
        line = f"\r{so_far.starts} starts, {so_far.done} done, {so_far.asked} asked"
        print(line, end="", file=sys.stderr, flush=True)

    result = run_resets(given.seed, given.share, progress=tell)
    print(file=sys.stderr)
    found = {**asdict(result), "seed": given.seed, "machine": machine()}
    print(json.dumps(found, indent=None if given.json else 1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
