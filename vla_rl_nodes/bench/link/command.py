"""`vla-rl bench link`: options to a run, lines for people, one object for machines."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from vla_rl_nodes.bench.link.run import LinkOptions, run_link


def bench_link(options: argparse.Namespace) -> int:
    """Kills and cuts; 0 only when every episode is stored once and nothing else is wrong."""
    if getattr(options, "lateness", False):
        from vla_rl_nodes.bench.link.lateness_command import lateness

        return lateness(options)
    folder: Path | None = options.work_folder
    plan = LinkOptions(options.seed, options.robots, options.episodes, options.kills, folder)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
               TimeElapsedColumn())  # fmt: skip
    with Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("starting", total=plan.kills)
        result = run_link(
            plan, lambda done, text: bar.update(task, completed=done, description=text)
        )
    if options.json:
        print(json.dumps(result, sort_keys=True, allow_nan=False))
    else:
        print_result(result)
    return 0 if result["passed"] else 1


def print_result(result: dict[str, Any]) -> None:
    """The result for people."""
    print(
        f"{result['sent']} episodes of {result['robots']} robots sent, {result['stored']} stored,"
        f" {result['lost']} lost, {result['duplicated']} duplicated, {result['partial']} partial;"
        f" seed {result['seed']}"
    )
    events = ", ".join(f"{count} {name}" for name, count in result["events"].items())
    print(
        f"{result['kills']} kills and {result['cuts']} cuts ({events}), {result['while_sending']}"
        f" of them while bytes moved; {result['deleted_on_robots']} bags deleted after their"
        " acknowledgement"
    )
    print(
        f"{result['wire_bytes'] / 1e6:.1f} MB on the wire for"
        f" {result['episode_bytes'] / 1e6:.1f} MB of episodes: {result['overhead']:.3f}x,"
        f" in {result['seconds']} s"
    )
    for fault in result["faults"]:
        print(f"fault: {fault}")
