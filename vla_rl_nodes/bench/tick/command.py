"""`vla-rl bench tick`: options to a measurement, a table for people, one object for machines."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from vla_rl_nodes.bench.tick.run import TickOptions, run_tick, schedule
from vla_rl_nodes.bench.tick.slow_inference import SlowOptions, run_slow_inference
from vla_rl_nodes.bench.tick.variants import OURS, VARIANTS


def tick(options: argparse.Namespace) -> int:
    """Runs the measurement; 0 when it was made, whatever it shows."""
    run = _policy_node if options.policy_node else _variants
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        result = run(options, bar)
    if options.json:
        print(json.dumps(result, sort_keys=True, allow_nan=False))
    elif options.policy_node:
        _print_policy_node(result)
    else:
        _print_variants(result)
    return 0


def _variants(options: argparse.Namespace, bar: Progress) -> dict[str, Any]:
    plan = TickOptions(options.contract, options.seed, options.duration)
    task = bar.add_task("starting", total=len(schedule(plan)))
    begun = 0

    def next_block(text: str) -> None:
        nonlocal begun
        bar.update(task, completed=begun, description=text)
        begun += 1

    result = run_tick(plan, next_block)
    bar.update(task, completed=begun)
    return result


def _policy_node(options: argparse.Namespace, bar: Progress) -> dict[str, Any]:
    plan = SlowOptions(options.contract, options.seed, options.duration, options.inference_ms)
    task = bar.add_task("episodes", total=plan.duration_s)
    return run_slow_inference(plan, lambda passed: bar.update(task, completed=passed))


def _print_variants(result: dict[str, Any]) -> None:
    table = Table(box=SIMPLE_HEAD)
    for heading in ("100 Hz", "kept", "lost", "late p50", "p99", "max ms"):
        table.add_column(heading, no_wrap=True)
    for variant in VARIANTS:
        row = result if variant is OURS else result[variant.name]
        table.add_row(
            variant.text,
            f"{100 * row['ticks_kept']:.2f} %",
            str(row["ticks_lost"]),
            *(f"{row[f'lateness_{part}_ms']:.2f}" for part in ("p50", "p99", "max")),
        )
    Console(file=sys.stdout).print(table)
    print(f"{result['ticks_expected']} deadlines each, {_granted(result)}")
    _print_machine(result)
    stalls = result["stalls"]
    if stalls is None:
        return  # without a real-time priority they are not known
    print(
        f"the machine itself stood still {stalls['count']} times for more than 1 ms, at most"
        f" {stalls['longest_ms']} ms; {result['ticks_lost_in_stalls']} of the first row's lost"
        " ticks fell into that"
    )


def _granted(result: dict[str, Any]) -> str:
    if result["realtime_priority"]:
        return "the first row with the policy node's real-time priority"
    return "no real-time priority: it is not permitted here"


def _print_policy_node(result: dict[str, Any]) -> None:
    print(
        f"{result['ticks']} of {result['ticks_expected']} ticks at {result['rate_hz']} Hz in"
        f" {result['episodes']} episodes, inference {result['inference_p50_ms']:.0f} ms:"
        f" {result['ticks_skipped']} skipped, {result['ticks_late']} a period late or more,"
        f" {result['starved_ticks']} starved, {result['blind_ticks']} blind;"
        f" late p99 {result['lateness_p99_ms']:.2f} ms, max {result['lateness_max_ms']:.2f} ms"
    )
    print(
        f"{result['chunks_used']} chunks used, {result['chunks_late']} too late,"
        f" {result['chunks_lost']} lost; ticks of delay: {result['delays']};"
        f" {result['prefix_too_short']} with a prefix shorter than their delay"
    )
    _print_machine(result)


def _print_machine(result: dict[str, Any]) -> None:
    described = result["machine"]
    print(
        f"{described['processor']}, {described['cores']} cores, {described['system']},"
        f" {result['clock']}; processors {result['load']['cpu_busy']} busy"
    )
