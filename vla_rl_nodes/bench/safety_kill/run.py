"""Many trials on one graph, and their figures."""

from __future__ import annotations

import tempfile
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from vla_rl_nodes.bench.machine import machine
from vla_rl_nodes.bench.safety_kill.bounds import Bounds
from vla_rl_nodes.bench.safety_kill.judge import AT_REST, Judge
from vla_rl_nodes.bench.safety_kill.record import Ears
from vla_rl_nodes.bench.safety_kill.settling import settling_s
from vla_rl_nodes.bench.safety_kill.trial import MOVING, Bench, Plan, Trial, broken, draw
from vla_rl_nodes.bench.safety_kill.victims import VICTIMS, Victims
from vla_rl_nodes.bringup import Processes, graph
from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.demo.run import isolate
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.nodes.driver import Driver
from vla_rl_nodes.nodes.spin import take_realtime_priority
from vla_rl_nodes.robots.load import load_robot
from vla_rl_nodes.safety.limits import load_limits
from vla_rl_nodes.sim.scene import load_scene

PRIORITY = 2  # of this process; everything in the graph that has one has a higher one
GRAPHS = 5  # started at most: a graph that breaks is a failed trial, and the next ones need one


@dataclass(frozen=True)
class KillOptions:
    """What to run.

    Attributes:
        contract: name or path; of a simulated arm with a shipped policy.
        seed: of the order, the episodes and the instants.
        trials: how many.
        logs: folder that keeps the nodes' logs, or None.
        only: number of the one trial to run, or None.
    """

    contract: str
    seed: int
    trials: int
    logs: Path | None = None
    only: int | None = None


def schedule(options: KillOptions) -> list[Plan]:
    """The trials: every victim once in each round, in an order drawn from the seed."""
    plans = []
    wanted = options.trials if options.only is None else options.only + 1
    for number in range(wanted):
        order = np.random.default_rng([options.seed, number // len(VICTIMS), 1])
        victim = VICTIMS[int(order.permutation(len(VICTIMS))[number % len(VICTIMS)])]
        plans.append(draw(options.seed, number, victim))
    return plans if options.only is None else plans[options.only :]


def run_safety_kill(options: KillOptions, progress: Callable[[Trial], None]) -> dict[str, Any]:
    """Runs the trials.

    A trial that fails only as a stalled machine or a middleware that holds messages up makes it
    fail, while that was measured, is counted as spoilt and another one is run in its place.
    Ctrl-C ends it with the figures so far. Over shared memory the middleware itself does not
    survive kill -9 (see ``config/dds/loopback.xml``); leave the choice to ``isolate``.

    Args:
        options: what to run.
        progress: told every trial.

    Raises:
        InputError: the graph does not start, or breaks again and again.
    """
    isolate()
    contract = load_contract(options.contract)
    robot, limits = load_robot(contract.robot), load_limits(contract.name)
    scene = load_scene(contract.name)
    dt = 1.0 / contract.rates.filter_hz
    settling = settling_s(robot, scene, limits, dt, AT_REST, options.seed)
    judge = Judge(contract, limits, Bounds(robot, limits, scene), settling)
    pending, done = deque(schedule(options)), list[Trial]()
    further = options.trials
    graphs = 0
    while pending:
        graphs += 1
        with tempfile.TemporaryDirectory(prefix="safety_kill_") as name:
            folder = Path(name)
            logs = (options.logs or folder) / f"graph{graphs}"
            nodes = graph(
                options.contract, sim=True, parameters={"recorder": {"folder": str(folder)}}
            )
            with (
                Processes(logs) as processes,
                Driver(contract.robot) as driver,
                Victims(processes, nodes, contract.name, contract.robot, logs) as victims,
            ):
                processes.start(nodes, contract.robot)
                bench = Bench(
                    driver, Ears(driver, robot, contract), victims, judge, folder, processes.check
                )
                # What is not heard in time would count as not measured.
                take_realtime_priority(driver.node, PRIORITY)
                driver.wait_until_up()
                plan = pending[0]
                try:
                    while pending:
                        plan = pending.popleft()
                        trial = bench.run(plan)
                        done.append(trial)
                        progress(trial)
                        if trial.spoilt and further < 2 * options.trials:
                            pending.append(draw(options.seed, further, plan.victim))
                            further += 1
                    bench.rearm(plan.seed)
                except KeyboardInterrupt:
                    pending.clear()
                except InputError as error:
                    done.append(broken(plan, error))
                    progress(done[-1])
                    if graphs >= GRAPHS:
                        raise
    return {
        **summary(done),
        "asked_for": options.trials if options.only is None else 1,
        "settling_s": round(settling, 4),
        "seed": options.seed,
        "contract": options.contract,
        "graphs": graphs,
        "machine": machine(),
    }


def summary(trials: Sequence[Trial]) -> dict[str, Any]:
    """The figures of all trials, and of each victim's."""
    kinds = Counter(
        fault.kind for t in trials if t.failed and not t.spoilt for fault in t.verdict.faults
    )
    return {
        "trials": len(trials),
        "judged": sum(not t.spoilt for t in trials),
        "spoilt": dict(Counter(t.spoilt for t in trials if t.spoilt)),
        "failed": sum(t.failed and not t.spoilt for t in trials),
        "violations": dict(sorted(kinds.items())),
        "trials_with_stalls": sum(bool(t.stalls_ms) for t in trials),
        "trials_with_messages_held_up": sum(bool(t.held_ms) for t in trials),
        "episodes_ended_early": dict(Counter(reason for t in trials for reason in t.early)),
        "victims": {
            victim: _of([t for t in trials if t.plan.victim == victim]) for victim in VICTIMS
        },
        "failures": [told(t) for t in trials if t.failed],
        "all": [told(t) for t in trials],
    }


def _of(trials: list[Trial]) -> dict[str, Any]:
    judged = [t for t in trials if not t.spoilt]
    rests = [t.verdict.rest_s for t in judged if t.verdict.rest_s is not None]
    margins = [
        t.verdict.bound_s - t.verdict.rest_s for t in judged if t.verdict.rest_s is not None
    ]
    bounds = [t.verdict.bound_s for t in judged if t.verdict.parts]
    return {
        "trials": len(trials),
        "spoilt": len(trials) - len(judged),
        "failed": sum(t.failed for t in judged),
        "in_motion_at_the_kill": sum(t.verdict.speed > MOVING for t in judged),
        "fastest_at_the_kill": round(max((t.verdict.speed for t in judged), default=0.0), 3),
        "rest_s_median": _rounded(median(rests) if rests else None),
        "rest_s_worst": _rounded(max(rests, default=None)),
        "bound_s_smallest": _rounded(min(bounds, default=None)),
        "bound_s_largest": _rounded(max(bounds, default=None)),
        "margin_s_smallest": _rounded(min(margins, default=None)),
        "room_m_smallest": _rounded(min((t.verdict.room for t in judged), default=None)),
    }


def told(trial: Trial) -> dict[str, Any]:
    """A trial for machines."""
    verdict = trial.verdict
    return {
        **asdict(trial.plan),
        "rest_s": _rounded(verdict.rest_s),
        "bound_s": _rounded(verdict.bound_s),
        "parts": {name: round(value, 4) for name, value in verdict.parts.items()},
        "speed": round(verdict.speed, 3),
        "room_m": _rounded(verdict.room),
        "cause": verdict.cause,
        "faults": [f"{fault.kind}: {fault.text}" for fault in verdict.faults],
        "stalls_ms": trial.stalls_ms,
        "held_ms": {who: round(ms, 1) for who, ms in sorted(trial.held_ms.items())},
        "spoilt": trial.spoilt,
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
