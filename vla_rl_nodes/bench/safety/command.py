"""`vla-rl bench safety`: options to a fuzz run, a table for people, one object for machines."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from vla_rl_nodes.bench.safety.fuzz import HAND_OVERS, TICKS_PER_HAND_OVER, FuzzOptions, run_fuzz
from vla_rl_nodes.bench.safety.subjects import ROBOTS

# What the table shows of each robot, a line each.
ROWS: tuple[tuple[str, Callable[[dict[str, Any]], str]], ...] = (
    ("ticks", lambda row: f"{row['ticks']}"),
    ("violations", lambda row: f"{row['violations']}"),
    ("exceptions", lambda row: f"{row['exceptions']}"),
    ("ticks in motion", lambda row: f"{row['moving_share']:.0%}"),
    ("tick p50, us", lambda row: f"{row['p50_us']:.0f}"),
    ("tick p99, us", lambda row: f"{row['p99_us']:.0f}"),
    ("p50 of the processor's time, us", lambda row: f"{row['cpu_p50_us']:.0f}"),
    ("p99 of the processor's time, us", lambda row: f"{row['cpu_p99_us']:.0f}"),
    ("p50 to the bare calls", lambda row: f"{row['ratio_to_bare']:.1f}"),
    ("memory growth, MiB", lambda row: f"{row['memory_growth_kib'] / 1024:+.1f}"),
    ("hand-overs", lambda row: f"{row['hand_overs']['count']}"),
    ("with a joint at speed", lambda row: f"{row['hand_overs']['at_speed']}"),
    ("violations in them", lambda row: f"{row['hand_overs']['violations']}"),
)


def bench_safety(options: argparse.Namespace) -> int:
    """Attacks the filter; 0 only without a violation and without an exception."""
    robots = tuple(dict.fromkeys(options.robot or ROBOTS))
    over = min(HAND_OVERS, -(-options.ticks // TICKS_PER_HAND_OVER))
    plan = FuzzOptions(
        options.seed, options.ticks, robots, options.jobs, over, options.round, options.steady
    )
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
               TimeElapsedColumn())  # fmt: skip
    with Progress(*columns, console=Console(stderr=True)) as bar:
        tasks = {name: bar.add_task(name, total=options.ticks) for name in robots}
        result = run_fuzz(plan, lambda name, ticks: bar.update(tasks[name], completed=ticks))
    if options.json:
        print(json.dumps(result, sort_keys=True, allow_nan=False))
    else:
        print_table(result)
    return 0 if result["violations"] == result["exceptions"] == 0 else 1


def print_table(result: dict[str, Any]) -> None:
    """The result for people."""
    robots = result["robots"]
    table = Table("", *robots, box=SIMPLE_HEAD)
    for text, shown in ROWS:
        table.add_row(text, *(shown(row) for row in robots.values()))
    Console(file=sys.stdout).print(table)
    for name, row in robots.items():
        if row["steady"] is not None:
            print(f"{name}: {described(row['steady'])}")
        bare = ", ".join(f"{k} {v:g}" for k, v in row["bare_us"].items() if k != "all")
        print(f"{name}: bare calls {row['bare_us']['all']:g} us ({bare})")
        for kind, count in row["violation_kinds"].items():
            print(f"{name}: {count} violations of {kind}")
        for line in row["reproduce"]:
            print(f"{name}: {line}")
    machine = result["machine"]
    print(f"{machine['processor']}, {machine['cores']} cores, load {machine['load_1min']}")


def described(steady: dict[str, Any]) -> str:
    """One filter in ordinary motion, in words."""
    return (
        f"ordinary motion, {steady['ticks']} ticks of one filter: tick p50 {steady['p50_us']:.0f},"
        f" p99 {steady['p99_us']:.0f} us, memory"
        f" {steady['memory_growth_kib'] / 1024:+.1f} MiB, {steady['violations']} violations"
    )
