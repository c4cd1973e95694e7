"""`vla-rl bench safety`: options to a fuzz run, a table for people, one object for machines."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from vla_rl_nodes.bench.safety.fuzz import HAND_OVERS, FuzzOptions, run_fuzz
from vla_rl_nodes.bench.safety.subjects import ROBOTS


def bench_safety(options: argparse.Namespace) -> int:
    """Attacks the filter; 0 only without a violation and without an exception."""
    robots = tuple(dict.fromkeys(options.robot or ROBOTS))
    plan = FuzzOptions(
        options.seed, options.ticks, robots, options.jobs, HAND_OVERS, options.round
    )
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
               TimeElapsedColumn())  # fmt: skip
    with Progress(*columns, console=Console(stderr=True)) as bar:
        tasks = {name: bar.add_task(name, total=options.ticks) for name in robots}
        result = run_fuzz(plan, lambda name, ticks: bar.update(tasks[name], completed=ticks))
    if options.json:
        print(json.dumps(result, sort_keys=True, allow_nan=False))
    else:
        _print(result)
    return 0 if result["violations"] == result["exceptions"] == 0 else 1


def _print(result: dict[str, Any]) -> None:
    table = Table(box=SIMPLE_HEAD)
    for heading in (
        "robot", "ticks", "moving", "violations", "exceptions", "p50 us", "p99", "cpu p50", "p99",
        "to bare", "memory", "hand-overs at speed",
    ):  # fmt: skip
        table.add_column(heading, no_wrap=True)
    for name, row in result["robots"].items():
        over = row["hand_overs"]
        table.add_row(
            name,
            f"{row['ticks']}",
            f"{row['moving_share']:.0%}",
            f"{row['violations']}",
            f"{row['exceptions']}",
            f"{row['p50_us']:.0f}",
            f"{row['p99_us']:.0f}",
            f"{row['cpu_p50_us']:.0f}",
            f"{row['cpu_p99_us']:.0f}",
            f"{row['ratio_to_bare']:.1f}",
            f"{row['memory_growth_kib'] / 1024:+.1f} MiB",
            f"{over['at_speed']} of {over['count']}, {over['violations']} violations",
        )
    Console(file=sys.stdout).print(table)
    for name, row in result["robots"].items():
        bare = ", ".join(f"{k} {v:g}" for k, v in row["bare_us"].items() if k != "all")
        print(f"{name}: bare calls {row['bare_us']['all']:g} us ({bare})")
        for kind, count in row["violation_kinds"].items():
            print(f"{name}: {count} violations of {kind}")
        for line in row["reproduce"]:
            print(f"{name}: {line}")
    described = result["machine"]
    print(f"{described['processor']}, {described['cores']} cores, load {described['load_1min']}")
