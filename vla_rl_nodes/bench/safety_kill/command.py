"""`vla-rl bench safety-kill`: options to trials, a table for people, one object for machines."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from vla_rl_nodes.bench.safety_kill.run import KillOptions, run_safety_kill
from vla_rl_nodes.bench.safety_kill.trial import Trial


def bench_safety_kill(options: argparse.Namespace) -> int:
    """Kills; 0 only when every trial was as it must be, the spoilt ones aside."""
    plan = KillOptions(options.contract, options.seed, options.trials, options.logs, options.trial)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
               TimeElapsedColumn())  # fmt: skip
    console = Console(stderr=True)
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("trials", total=1 if plan.only is not None else plan.trials)

        def next_trial(trial: Trial) -> None:
            bar.update(task, advance=0 if trial.spoilt else 1)
            for fault in trial.verdict.faults:
                which = f"trial {trial.plan.number}, {trial.plan.victim}"
                said = f" (spoilt by the {trial.spoilt})" if trial.spoilt else ""
                console.print(f"{which}: {fault.kind}: {fault.text}{said}", highlight=False)

        result = run_safety_kill(plan, next_trial)
    if options.json:
        print(json.dumps(result, sort_keys=True, allow_nan=False))
    else:
        print_table(result)
    return 0 if result["failed"] == 0 else 1


def print_table(result: dict[str, Any]) -> None:
    """The result for people."""
    table = Table(box=SIMPLE_HEAD)
    for heading in ("killed", "trials", "in motion", "rest p50", "worst", "bound", "left", "bad"):
        table.add_column(heading, no_wrap=True)
    for victim, row in result["victims"].items():
        table.add_row(
            victim, f"{row['trials'] - row['spoilt']}", f"{row['in_motion_at_the_kill']}",
            *(_ms(row[key]) for key in ("rest_s_median", "rest_s_worst")),
            f"{_ms(row['bound_s_smallest'])} to {_ms(row['bound_s_largest'])}",
            _ms(row["margin_s_smallest"]), f"{row['failed']}",
        )  # fmt: skip
    Console(file=sys.stdout).print(table)
    print("times in ms from the kill; left: the least that was left of a trial's own bound")
    print(f"the servos themselves move on for at most {_ms(result['settling_s'])} ms")
    for why, count in result["spoilt"].items():
        print(f"{count} further trials were spoilt by a {why} that stood still")
    for reason, count in result["episodes_ended_early"].items():
        print(f"{count} episodes were over before the kill and started again ({reason})")
    for failure in result["failures"]:
        said = f" (spoilt by the {failure['spoilt']})" if failure["spoilt"] else ""
        for fault in failure["faults"]:
            print(f"trial {failure['number']}, {failure['victim']}: {fault}{said}")
    described = result["machine"]
    print(f"{described['processor']}, {described['cores']} cores, load {described['load_1min']}")


def _ms(seconds: float | None) -> str:
    return "-" if seconds is None else f"{1e3 * seconds:.0f}"
