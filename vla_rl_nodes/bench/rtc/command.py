"""`vla-rl bench rtc`: trained policies in, table, figures and verdict out."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from vla_rl_nodes.bench.machine import machine
from vla_rl_nodes.bench.rtc.matrix import (
    CONTRACT,
    ROWS,
    Outcome,
    Row,
    run_matrix,
    usable_processes,
)
from vla_rl_nodes.bench.rtc.models import trained_models
from vla_rl_nodes.bench.rtc.report import write_report
from vla_rl_nodes.bench.rtc.stress import Faults, Latency, stress
from vla_rl_nodes.bench.rtc.table import table, verdict
from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.sim.plane.state import TASKS
from vla_rl_nodes.sim.plane.toy import toy_figures

QUEUE_TICKS = 100_000


def bench_rtc(options: argparse.Namespace) -> int:
    """Runs the benchmark; 0 when it ran, whatever the figures are."""
    rows = _rows(options.strategies)
    processes = options.processes or usable_processes()
    console = Console(stderr=True)
    options.out.mkdir(parents=True, exist_ok=True)
    models = trained_models(options.models or options.out / "models", options.training_seeds,
                            processes, console)  # fmt: skip
    result = run(models.policies, models.toy, rows, options.episodes, options.seed, processes,
                 console)  # fmt: skip
    page, _ = write_report(options.out, result)
    if options.json:
        print(json.dumps(result, sort_keys=True, allow_nan=False))
    else:
        _print(result, page)
    return 0


def run(
    policies: Sequence[Path],
    toy: Path,
    rows: Sequence[Row],
    episodes: int,
    seed: int,
    processes: int,
    console: Console,
) -> dict[str, Any]:
    """Everything that the command measures, as one object."""
    contract = load_contract(CONTRACT)
    delays = list(range(contract.action.max_delay + 1))
    outcomes: list[Outcome] = []
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("episodes", total=len(rows) * len(policies) * len(delays))
        for outcome in run_matrix(policies, rows, delays, episodes, seed, processes):
            outcomes.append(outcome)
            progress.update(task, advance=1)
    strategies = table(outcomes, delays, contract.period_ns / 1e9)
    return {
        "strategies": strategies,
        "verdict": verdict(strategies) if "prefix" in strategies else {},
        "toy": toy_figures(toy, seed),
        "queue": {
            "jitter": stress(QUEUE_TICKS, seed, Latency(), Faults()),
            "faults": stress(QUEUE_TICKS, seed, Latency(), Faults(0.03, 0.05, 0.03)),
        },
        "seed": seed,
        "training_seeds": len(policies),
        "tasks": list(TASKS),
        "episodes_a_point": episodes * len(policies) * len(TASKS),
        "episodes_a_task_and_point": episodes * len(policies),
        "machine": machine(),
    }


def _rows(names: Sequence[str] | None) -> list[Row]:
    known = {row.name: row for row in ROWS}
    for name in names or ():
        if name not in known:
            raise InputError(
                f"--strategies {name}", "is unknown", f"give some of {', '.join(known)}"
            )
    return [row for row in ROWS if not names or row.name in names]


def _print(result: dict[str, Any], page: Path) -> None:
    console = Console(file=sys.stdout)
    strategies = result["strategies"]
    delays = next(iter(strategies.values()))["delay"]
    shown = Table("success %", *(f"d={d}" for d in delays), "worst seam")
    for name, row in strategies.items():
        ratios = [ratio for ratio in row["seam_ratio_p95"][1:] if ratio is not None]
        shown.add_row(
            name,
            *(f"{100 * share:.1f}" for share in row["success"]),
            f"{max(ratios):.2f}" if ratios else "-",
        )
    console.print(shown)
    for name, value in result["verdict"].items():
        console.print(f"{name.replace('_', ' ')}: {value}", markup=False)
    console.print(f"toy: {result['toy']}", markup=False)
    console.print(f"queue: {result['queue']}", markup=False)
    console.print(f"report: {page}", markup=False)
