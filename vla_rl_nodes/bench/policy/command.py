"""`vla-rl bench policy`: options to a measurement, a table for people, one object for machines."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from vla_rl_nodes.bench.policy.run import run
from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.policy.bundle import load_bundle
from vla_rl_nodes.policy.trust import trusted_keys
from vla_rl_nodes.resources import resource


def bench_policy(options: argparse.Namespace) -> int:
    """Runs the measurement; 0 when it was made, whatever it shows."""
    contract = load_contract(options.contract)
    path = options.bundle or resource(f"config/policies/{contract.name}")
    bundle = load_bundle(path, contract, trusted_keys(options.trusted_keys))
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
               TimeElapsedColumn())  # fmt: skip
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("opening the engines", total=options.calls)

        def shown(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total, description="calls of each engine")

        result = run(bundle, seed=options.seed, calls=options.calls, progress=shown)
    if options.json:
        print(json.dumps(result, sort_keys=True, allow_nan=False))
    else:
        _print(result)
    return 0


def _print(result: dict[str, Any]) -> None:
    table = Table("engine", "p50 ms", "p99 ms", "max ms", "difference")
    for name, row in {**result["engines"], **result["others"]}.items():
        difference = row.get("largest_difference")
        shown = "" if difference is None else f"{difference:.1e}"
        table.add_row(
            name, f"{row['p50_ms']:.3f}", f"{row['p99_ms']:.3f}", f"{row['max_ms']:.3f}", shown
        )
    Console(file=sys.stdout).print(table)
    for key, text in (
        ("onnxruntime_vs_torch", "torch takes {ratio:.1f} times as long as onnxruntime"),
        ("student_vs_teacher", "the {teacher_steps}-step teacher takes {ratio:.1f} times as long"
                               " as the student, both on onnxruntime"),
        ("deployed_vs_torch_teacher", "the teacher in torch takes {ratio:.1f} times as long as"
                                      " the student on onnxruntime"),
    ):  # fmt: skip
        if result[key] is not None:
            print(text.format(**result[key]))
    print(f"checks in Python are {result['checks']['share_of_call']:.1%} of a call on the CPU")
    for name, reason in result["not_run"].items():
        print(f"{name}: not run: {reason}")
    described = result["machine"]
    print(f"{described['processor']}, {described['cores']} cores, load {described['load_1min']}")
