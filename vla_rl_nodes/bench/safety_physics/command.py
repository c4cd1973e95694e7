"""`vla-rl bench safety-physics`: a table for people, one object for machines."""

from __future__ import annotations

import argparse
import json
import sys
from functools import partial
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table

from vla_rl_nodes.bench.machine import machine
from vla_rl_nodes.bench.safety_physics.least_invasive import least_invasive
from vla_rl_nodes.bench.safety_physics.run import ROBOTS, PhysicsOptions, push_robot
from vla_rl_nodes.errors import InputError


def bench_safety_physics(options: argparse.Namespace) -> int:
    """Pushes every robot; 0 only when nothing touched, came too close or was changed in vain."""
    names = tuple(dict.fromkeys(options.robot or ROBOTS))
    unknown = next((name for name in names if name not in ROBOTS), None)
    if unknown is not None:
        raise InputError("--robot", f"is {unknown}", f"use {', '.join(ROBOTS)}")
    plan = PhysicsOptions(options.states, options.seed)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
               TimeElapsedColumn())  # fmt: skip
    with Progress(*columns, console=Console(stderr=True)) as bar:
        tasks = {name: bar.add_task(name, total=options.states) for name in names}
        expert = bar.add_task("expert", total=options.episodes)
        robots = {
            name: push_robot(name, plan, partial(_advance, bar, tasks[name])) for name in names
        }
        least = least_invasive(options.episodes, options.seed, partial(_advance, bar, expert))
    result = {
        "seed": options.seed,
        "seconds": plan.seconds,
        "robots": robots,
        "least_invasive": least,
        "machine": machine(),
    }
    if options.json:
        print(json.dumps(result, sort_keys=True, allow_nan=False))
    else:
        _print(result)
    failed = [
        row[key]
        for row in robots.values()
        for key in ("contacts", "too_close", "outside", "faults")
    ] + [least["actions_changed"], least["knots_changed"]]
    return 1 if any(failed) else 0


def _advance(bar: Progress, task: TaskID, done: int) -> None:
    bar.update(task, completed=done)


def _print(result: dict[str, Any]) -> None:
    table = Table(box=SIMPLE_HEAD)
    for heading in (
        "robot", "target", "pushes", "room table mm", "room body mm", "out of box mm",
        "past stops mrad", "joint speed", "tool speed",
    ):  # fmt: skip
        table.add_column(heading, no_wrap=True)
    for name, row in result["robots"].items():
        for target, found in (*row["by_target"].items(), ("all", row["all"])):
            table.add_row(
                name,
                target,
                f"{found['trials']}",
                _number(found["table_room_mm"]),
                _number(found["body_room_mm"]),
                _number(found["box_overshoot_mm"]),
                _number(found["stop_overshoot_mrad"]),
                f"{found['joint_speed_share']:.0%}",
                f"{found['tool_speed_share']:.0%}",
            )
    Console(file=sys.stdout).print(table)
    for name, row in result["robots"].items():
        free = row["unfiltered"]
        print(
            f"{name}: {row['contacts']} of {row['trials']} pushes with a contact,"
            f" {row['too_close']} too close, {row['outside']} outside, {row['faults']} stopped;"
            f" {row['full_speed_share']:.0%} at full speed; without the filter"
            f" {free['with_contact']} of {free['trials']} touch"
        )
        for line in row["bad"]:
            print(f"{name}: {line}")
    least = result["least_invasive"]
    print(
        f"expert: {least['actions_changed']} of {least['actions_inside']} actions changed,"
        f" {least['knots_changed']} knots, greatest difference"
        f" {least['greatest_knot_difference']:.1e};"
        f" {least['knots_inside_share']:.1%} of the knots inside the limits; a tick of the filter"
        f" p50 {least['tick_p50_us']:.0f} us, p99 {least['tick_p99_us']:.0f} us"
    )


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
