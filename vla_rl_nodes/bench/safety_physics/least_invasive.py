"""What the filter does to motions inside the limits: the expert's, logged and sent again."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.robots.kinematics import Kinematics
from vla_rl_nodes.robots.load import load_robot
from vla_rl_nodes.robots.model import Robot
from vla_rl_nodes.safety.clearance import Clearance
from vla_rl_nodes.safety.filter import Instant, SafetyFilter, Source
from vla_rl_nodes.safety.limits import SafetyLimits, load_limits
from vla_rl_nodes.safety.reasons import NONE, reason_names
from vla_rl_nodes.safety.smoothing import Knot, Smoother
from vla_rl_nodes.safety.targets.make import make_target
from vla_rl_nodes.sim.actors import ExpertActor
from vla_rl_nodes.sim.rollout import Episode, Rollout

Array = NDArray[np.float64]

TASK = "franka_pick"
SAME = 1e-9  # rad, rad/s, and rad/s^2 times the filter's period
ROUNDING = 1e-9  # share of a limit


@dataclass
class Counts:
    """What was compared.

    Attributes:
        ticks: control ticks with an action.
        inside: those whose action is inside the limits by :func:`actions_inside`.
        same: those of them that were executed bit for bit and without a reason.
        difference: greatest difference of an executed action, in the axes' units.
        reasons: those given for actions inside the limits.
        knots: filter ticks.
        knots_inside: those whose smoothed reference is inside the limits, and has been since the
            motion was last on it.
        knots_same: those of them at which the reference itself was commanded, to ``SAME``, and
            without a reason.
        departure: greatest difference of those: rad, rad/s, and rad/s^2 times the period.
        tick_ns: what each tick of the filter took of the processor, ns.
    """

    episodes: int = 0
    successes: int = 0
    ticks: int = 0
    inside: int = 0
    same: int = 0
    difference: float = 0.0
    reasons: Counter[str] = field(default_factory=Counter)
    knots: int = 0
    knots_inside: int = 0
    knots_same: int = 0
    departure: float = 0.0
    tick_ns: list[int] = field(default_factory=list)


def least_invasive(
    episodes: int, seed: int = 0, progress: Callable[[int], None] = lambda _: None
) -> dict[str, Any]:
    """Episodes of the expert, compared with what the filter made of them; plain numbers.

    First layer: the actions in closed loop with physics. Second layer: the same actions sent to
    a newly armed filter again, whose commanded knots are held against the smoothed reference.
    """
    contract = load_contract(TASK)
    counts = Counts()
    with Rollout(contract, cameras=False) as rollout:
        for index in range(episodes):
            episode = rollout.run(seed + index, ExpertActor(contract))
            rollout.world.reset(seed + index)
            start = rollout.world.joint_positions
            compare_actions(contract, rollout.limits, rollout.kinematics.fk(start).position,
                            episode, counts)  # fmt: skip
            compare_knots(contract, start, logged(episode), counts)
            counts.episodes += 1
            counts.successes += episode.success
            progress(index + 1)
    return {
        "episodes": counts.episodes,
        "successes": counts.successes,
        "actions": counts.ticks,
        "actions_inside": counts.inside,
        "actions_changed": counts.inside - counts.same,
        "greatest_action_difference": counts.difference,
        "reasons": dict(sorted(counts.reasons.items())),
        "knots": counts.knots,
        "knots_inside_share": round(counts.knots_inside / max(counts.knots, 1), 4),
        "knots_changed": counts.knots_inside - counts.knots_same,
        "greatest_knot_difference": counts.departure,
        "tick_p50_us": _percentile_us(counts.tick_ns, 50),
        "tick_p99_us": _percentile_us(counts.tick_ns, 99),
    }


def logged(episode: Episode) -> list[Array]:
    """The actions [axes] that an episode commanded, one per control tick."""
    return [tick.decision.action for tick in episode.ticks if tick.decision is not None]


def actions_inside(
    contract: Contract, limits: SafetyLimits, start: Array, actions: list[Array]
) -> list[bool]:
    """Whether each action is inside the limits, by sums alone: neither filter nor kinematics.

    It is when it is inside the contract's bounds; when the tool point that all actions until
    then add up to, from ``start`` [3] in m, is in the box; and when its way in one control period
    is inside the tool's speed.
    """
    box, speed, period = limits.workspace, limits.tool_speed_max, 1.0 / contract.policy_hz
    point, found = start.copy(), []
    for action in actions:
        way = action[:3]
        point = point + way
        bounded = (action >= contract.action.minimum) & (action <= contract.action.maximum)
        found.append(
            bool(bounded.all())
            and (box is None or bool(((point >= box.lower) & (point <= box.upper)).all()))
            and (speed is None or float(np.linalg.norm(way)) <= speed * period)
        )
    return found


def compare_actions(
    contract: Contract, limits: SafetyLimits, start: Array, episode: Episode, counts: Counts
) -> None:
    """Holds what was executed in an episode against what was commanded.

    Args:
        contract: of the episode.
        limits: of the task.
        start: the tool point [3] at its beginning, m.
        episode: what happened.
        counts: added to.
    """
    ticks = [tick for tick in episode.ticks if tick.decision is not None]
    inside = actions_inside(contract, limits, start, logged(episode))
    counts.ticks += len(ticks)
    for tick, good in zip(ticks, inside, strict=True):
        if not good:
            continue
        counts.inside += 1
        assert tick.decision is not None
        if tick.executed is None:
            counts.reasons["not_executed"] += 1
            continue
        difference = float(np.abs(tick.executed.values - tick.decision.action).max())
        counts.difference = max(counts.difference, difference)
        counts.reasons.update(reason_names(tick.executed.reasons))
        equal = tick.executed.values.tobytes() == tick.decision.action.tobytes()
        counts.same += equal and tick.executed.reasons == NONE


def compare_knots(contract: Contract, q: Array, actions: list[Array], counts: Counts) -> None:
    """Sends actions to a newly armed filter and holds its knots against the smoothed reference.

    The arm is where it was commanded to be one tick ago. The references come from a target of
    their own, which is told the same actions.

    Args:
        contract: kind and rates of the actions.
        q: joint positions to begin at [n], rad.
        actions: [axes], one per control period.
        counts: added to.
    """
    robot, limits, rates = load_robot(contract.robot), load_limits(contract.name), contract.rates
    kinematics, dt, ticks = Kinematics(robot), 1.0 / rates.filter_hz, contract_ticks(contract)
    width = 0.0 if robot.gripper is None else robot.gripper.width_max
    target = make_target(robot, kinematics, Clearance(robot, limits), contract.action, limits,
                         ticks, dt, q, width)  # fmt: skip
    smoother = Smoother(max(round(limits.smoothing_s / dt), 1), dt, q)
    period_ns = round(1e9 * dt)
    filter_ = SafetyFilter(robot, Kinematics(robot), contract, limits)
    now, at, clean = period_ns, q, True
    led = Knot(q, np.zeros(len(q)), np.zeros(len(q)))
    for index in range(len(actions) * ticks):
        instant = Instant(now, now)
        filter_.measured(now, instant, robot.joints, at.tolist())
        filter_.wrench(now, instant, [0.0, 0.0, 0.0], [0.0, 0.0, 0.0])
        if index == 0:
            filter_.arm(instant, q, width)
        if index % ticks == 0:
            action = actions[index // ticks]
            filter_.command(Source.POLICY, now, instant, contract.action.names, action.tolist())
            target.accept(action, at)
        began = time.thread_time_ns()
        output = filter_.tick(instant)
        counts.tick_ns.append(time.thread_time_ns() - began)
        before, led = led, smoother.advance(target.advance())
        assert output.plan is not None
        knot = Knot(output.plan.q[0], output.plan.v[0], output.plan.a[0])
        departure = _departure(knot, led, dt)
        clean = clean and knot_inside(robot, limits, before, led, dt)
        counts.knots += 1
        if clean:
            counts.knots_inside += 1
            counts.knots_same += departure <= SAME and output.reasons == NONE
            counts.departure = max(counts.departure, departure)
        else:
            clean = departure <= SAME  # the motion is back on its reference
        at, now = knot.q, now + period_ns


def contract_ticks(contract: Contract) -> int:
    """Filter ticks in a control period."""
    return contract.rates.filter_hz // contract.rates.policy_hz


def knot_inside(robot: Robot, limits: SafetyLimits, before: Knot, knot: Knot, dt: float) -> bool:
    """Whether a knot of the reference is inside velocity, acceleration and jerk limits."""
    most = 1.0 + ROUNDING
    slowest, fastest = (limits.velocity_scale * v for v in robot.velocity_bounds(knot.q))
    acceleration = limits.acceleration_scale * robot.acceleration_max
    jerk = limits.jerk_scale * robot.jerk_max
    return bool(
        ((knot.v >= slowest * most) & (knot.v <= fastest * most)).all()
        and (np.abs(knot.a) <= acceleration * most).all()
        and (np.abs(knot.a - before.a) <= jerk * (dt * most)).all()
    )


def _percentile_us(durations_ns: list[int], percent: float) -> float:
    return round(float(np.percentile(durations_ns or [0], percent)) / 1e3, 1)


def _departure(one: Knot, other: Knot, dt: float) -> float:
    scales = (1.0, 1.0, dt)
    return max(
        float(np.abs(a - b).max()) * scale for a, b, scale in zip(one, other, scales, strict=True)
    )
