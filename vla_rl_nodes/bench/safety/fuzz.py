"""Runs the attacks on each robot and adds up what the judge found."""

from __future__ import annotations

import contextlib
import gc
import multiprocessing
import queue
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from vla_rl_nodes.bench.machine import machine
from vla_rl_nodes.bench.safety.bare import bare_calls
from vla_rl_nodes.bench.safety.figures import Figures
from vla_rl_nodes.bench.safety.handover import hand_overs
from vla_rl_nodes.bench.safety.round import Found, run_round
from vla_rl_nodes.bench.safety.starts import starts
from vla_rl_nodes.bench.safety.steady import growth, resident_kib, steady
from vla_rl_nodes.bench.safety.subjects import ROBOTS, Subject, mobile_subject, subjects
from vla_rl_nodes.errors import InputError

ROUND_TICKS = 4000  # of one filter
HAND_OVERS = 500  # at most
TICKS_PER_HAND_OVER = 200  # of all ticks: short runs have fewer hand-overs
MOBILE = "go2"  # which robot stands on wheels

Told = Callable[[str, int], None]  # the robot, ticks done


@dataclass(frozen=True)
class FuzzOptions:
    """What ``vla-rl bench safety`` was asked for."""

    seed: int
    ticks: int  # of each robot
    robots: tuple[str, ...]
    jobs: int
    hand_overs: int = HAND_OVERS
    only_round: int | None = None
    steady: int = 0  # ticks of one filter in ordinary motion


def run_fuzz(options: FuzzOptions, told: Told) -> dict[str, Any]:
    """Every robot's figures, as the command prints them.

    Raises:
        InputError: an unknown robot.
    """
    unknown = [name for name in options.robots if name not in ROBOTS]
    if unknown:
        raise InputError("--robot", f"{unknown[0]} is not known", f"choose of {', '.join(ROBOTS)}")
    if options.jobs == 1 or len(options.robots) == 1:
        results = [run_robot(name, options, partial(told, name)) for name in options.robots]
    else:
        results = _in_processes(options, told)
    robots = dict(zip(options.robots, results, strict=True))
    first = robots[options.robots[0]]
    return {
        "seed": options.seed,
        "robots": robots,
        "bare_calls_us": first["bare_us"]["all"],
        "violations": sum(robot["violations"] for robot in robots.values()),
        "exceptions": sum(robot["exceptions"] for robot in robots.values()),
        "machine": machine(),
    }


def run_robot(name: str, options: FuzzOptions, told: Callable[[int], None]) -> dict[str, Any]:
    """One robot's attacks: rounds of filters of every kind in turn, then hand-overs."""
    figures, found = Figures(), Found()
    index = ROBOTS.index(name)
    with tempfile.TemporaryDirectory() as folder:
        every = [*subjects(name, Path(folder))]
        if name == MOBILE:
            every.append(mobile_subject(name, Path(folder)))
        bare = _bare(every, options.seed)
        gc.collect()
        gc.freeze()
        resident: list[int] = []
        for number, ticks in _rounds(options):
            subject = every[number % len(every)]
            found.add(run_round(subject, (options.seed, index, number), ticks, figures))
            gc.collect()
            resident.append(resident_kib())
            told(figures.ticks)
        report = {**figures.report(), "memory_growth_kib": growth(resident)}
        over = _hand_overs(every, options, index, found, figures)
        ordinary = _steady(every, options.steady, told)
    report["exceptions"] = figures.exceptions
    return {
        **report,
        "violations": sum(found.kinds.values()) + (ordinary or {}).get("violations", 0),
        "violation_kinds": dict(sorted(found.kinds.items())),
        "reproduce": found.lines,
        "armings_refused": found.refused,
        "coasted_out": found.excused,
        "hand_overs": over,
        "steady": ordinary,
        "bare_us": bare,
        "ratio_to_bare": round(report["p50_us"] / bare["all"], 2),
    }


def _rounds(options: FuzzOptions) -> Iterator[tuple[int, int]]:
    """Number and ticks of each round."""
    if options.only_round is not None:
        yield options.only_round, ROUND_TICKS
        return
    for number, begin in enumerate(range(0, options.ticks, ROUND_TICKS)):
        yield number, min(ROUND_TICKS, options.ticks - begin)


def _hand_overs(
    every: Sequence[Subject], options: FuzzOptions, index: int, found: Found, figures: Figures
) -> dict[str, int]:
    """Spread over all kinds of action; what is found counts with the rest."""
    chosen = [s for s in every if s.contract.action.kind != "base_velocity"]
    share = -(-options.hand_overs // len(chosen))
    count = at_speed = broken = 0
    for number, subject in enumerate(chosen):
        due = min(share, options.hand_overs - count)
        if due <= 0:
            break
        result = hand_overs(subject, (options.seed, index, number, 1), due, figures)
        count, at_speed = count + result.done, at_speed + result.at_speed
        broken += sum(result.found.kinds.values())
        found.add(result.found)
    return {"count": count, "at_speed": at_speed, "violations": broken}


def _steady(
    every: Sequence[Subject], ticks: int, told: Callable[[int], None]
) -> dict[str, Any] | None:
    """One filter in ordinary motion, of the tool where the robot has one."""
    if ticks == 0:
        return None
    kinds = {subject.contract.action.kind: subject for subject in reversed(every)}
    return steady(kinds.get("tool_pose_delta", kinds["joint_delta"]), ticks, told)


def _bare(every: Sequence[Subject], seed: int) -> dict[str, float]:
    random = np.random.default_rng((seed, 2))
    return bare_calls(every[0], starts(every[0], random))


def _in_processes(options: FuzzOptions, told: Told) -> list[dict[str, Any]]:
    """One process for each robot, ``jobs`` at a time."""
    context = multiprocessing.get_context("spawn")
    with context.Manager() as manager, ProcessPoolExecutor(options.jobs, context) as pool:
        news = manager.Queue()
        jobs = [pool.submit(_worker, name, options, news) for name in options.robots]
        while not all(job.done() for job in jobs):
            with contextlib.suppress(queue.Empty):
                told(*news.get(timeout=0.5))
        return [job.result() for job in jobs]


def _worker(name: str, options: FuzzOptions, news: Any) -> dict[str, Any]:
    return run_robot(name, options, lambda ticks: news.put((name, ticks)))
