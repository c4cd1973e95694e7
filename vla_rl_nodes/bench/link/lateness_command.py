"""`vla-rl bench link --lateness`: a table for people, one object for machines."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from vla_rl_nodes.bench.link.lateness import CONDITIONS, LatenessOptions, run_lateness

_ROUNDS = 6


def lateness(options: argparse.Namespace) -> int:
    """Runs the measurement; 0 when it was made, whatever it shows."""
    plan = LatenessOptions(
        options.seed, getattr(options, "rounds", None) or _ROUNDS,
        logs=getattr(options, "work_folder", None),
    )  # fmt: skip
    with Console(stderr=True).status("starting") as shown:
        result = run_lateness(plan, shown.update)
    if options.json:
        print(json.dumps(result, sort_keys=True, allow_nan=False))
    else:
        print_table(result)
    return 0


def print_table(result: dict[str, Any]) -> None:
    """The result for people."""
    table = Table(box=SIMPLE_HEAD)
    for heading in (
        "learner", "MB sent", "ticks", "p50 ms", "p99 ms", "p50 x", "p99 x", "p99 by round",
        "filter p50", "p99",
    ):  # fmt: skip
        table.add_column(heading, no_wrap=True)
    for condition in CONDITIONS:
        row = result["conditions"][condition]
        policy, filtered = row["policy"], row["filter"]
        rounds = policy["p99_ms_by_round"] or [0.0]
        table.add_row(
            condition, f"{row['sent_bytes'] / 1e6:.1f}", str(policy["ticks"]),
            f"{policy['lateness_p50_ms']}", f"{policy['lateness_p99_ms']}",
            f"{policy['p50_ratio']}", f"{policy['p99_ratio']}",
            f"{min(rounds):.2f} to {max(rounds):.2f}",
            f"{filtered['lateness_p50_ms']}", f"{filtered['lateness_p99_ms']}",
        )  # fmt: skip
    Console(file=sys.stdout, width=120).print(table)
    machine = result["machine"]
    print(
        f"{machine['processor']}, {machine['cores']} cores, {result['clock']}; processors"
        f" {result['load']['cpu_busy']} busy; seed {result['seed']}, {result['rounds']} rounds"
    )
