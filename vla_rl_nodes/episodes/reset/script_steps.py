"""Carries out the steps of a task's script, one after the other."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.episodes.reset.arm import Arm
from vla_rl_nodes.episodes.reset.draw import Place
from vla_rl_nodes.episodes.reset.kit import Kit
from vla_rl_nodes.episodes.reset.pick import PutBack as PutBackSteps
from vla_rl_nodes.episodes.reset.planner import NEAR
from vla_rl_nodes.episodes.reset.progress import Progress
from vla_rl_nodes.episodes.reset.script import (
    GoTo,
    Lift,
    OpenGripper,
    PutBack,
    Rest,
    Step,
    ToolMove,
)
from vla_rl_nodes.episodes.reset.seen import AttemptFailed, NeedsPerson, Phase, Steps

Array = NDArray[np.float64]

REST_LIMIT_S = 5.0  # beyond what a step asks for


def carry_out(
    kit: Kit, arm: Arm, progress: Progress, places: dict[str, Place], seed: int
) -> Steps[None]:
    """All steps of the kit's script.

    Args:
        kit: the robot and the script; without one nothing is done.
        arm: in command, at rest.
        progress: told what is going on; says which attempt this is.
        places: where objects are put, by name.
        seed: of searches for a way.

    Raises:
        AttemptFailed: a step was not carried out.
        NeedsPerson: it cannot be.
    """
    for step in [] if kit.script is None else kit.script.steps:
        yield from _step(kit, arm, progress, step, places, seed)


def _step(
    kit: Kit, arm: Arm, progress: Progress, step: Step, places: dict[str, Place], seed: int
) -> Steps[None]:
    assert kit.script is not None
    progress.at(Phase.MOVING, step.do)
    if isinstance(step, OpenGripper):
        yield from arm.grip(step.width_m)
    elif isinstance(step, PutBack):
        back = PutBackSteps(kit, arm, progress, seed, max(progress.attempt, 1))
        yield from back.run(kit.script.described(step.object), places[step.object])
    elif isinstance(step, Lift):
        yield from arm.straight(np.array([0.0, 0.0, _room(kit, arm, step.by_m)]))
    elif isinstance(step, GoTo):
        yield from arm.go(_goal(kit, step), seed)
    elif isinstance(step, ToolMove):
        yield from arm.tool_move(np.array(step.by_m), step.speed)
    else:
        yield from _rest(kit, arm, step)


def _room(kit: Kit, arm: Arm, by_m: float) -> float:
    """How far up the tool may go, at most ``by_m``."""
    box = kit.limits.workspace
    if box is None:
        return by_m
    z = float(kit.tool.fk(arm.measured).position[2])
    return max(min(by_m, float(box.upper[2]) - NEAR - z), 0.0)


def _goal(kit: Kit, step: GoTo) -> Array:
    if step.to == "home":
        return kit.robot.home
    unknown = [name for name in step.to if name not in kit.robot.joints]
    missing = [name for name in kit.robot.joints if name not in step.to]
    if unknown or missing:
        wrong = f"has no {unknown[0]}" if unknown else f"needs {missing[0]} too"
        raise NeedsPerson(f"the script's step joints does not fit: {kit.robot.name} {wrong}")
    return np.array([step.to[name] for name in kit.robot.joints])


def _rest(kit: Kit, arm: Arm, step: Rest) -> Steps[None]:
    began = since = arm.time_s
    while arm.time_s - since < step.seconds:
        if arm.time_s - began > step.seconds + REST_LIMIT_S:
            raise AttemptFailed("the arm does not come to rest")
        yield from arm.tick()
        if arm.seen.speed >= kit.settings.rest_speed:
            since = arm.time_s
