"""`vla-rl demo`: options to a run, a table for people, one object for machines."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from vla_rl_nodes.bringup import Value
from vla_rl_nodes.chunking.settings import load_chunking
from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.demo.measure import EpisodeMeasure, measure_episode
from vla_rl_nodes.demo.report import write_report
from vla_rl_nodes.demo.run import DemoOptions, DemoRun, convert_all, fresh_folder, run_demo
from vla_rl_nodes.demo.summary import summarise, table
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.nodes.driver import EpisodeResult
from vla_rl_nodes.resources import resource
from vla_rl_nodes.robots.load import load_robot
from vla_rl_nodes.safety.limits import load_limits

# The demonstrations' seeds start here, so that the episodes below it are new to the policy.
FIRST_TRAINING_SEED = 1_000_000


def contract_for(robot: str) -> str:
    """The name of the shipped contract of a robot that has a shipped policy.

    Raises:
        InputError: there is none for that robot.
    """
    found: dict[str, str] = {}
    for path in sorted(resource("config/contracts").glob("*.yaml")):
        contract = load_contract(path)
        found.setdefault(contract.robot, contract.name)
    if robot not in found:
        raise InputError(
            f"robot '{robot}'", "has no shipped contract and policy",
            f"give one of {', '.join(sorted(found))}",
        )  # fmt: skip
    return found[robot]


def demo(options: argparse.Namespace) -> int:
    """Runs the demo; 0 when every node worked and no limit was violated."""
    name = contract_for(options.robot)
    out = fresh_folder(options.out).absolute()
    parameters: dict[str, dict[str, Value]] = {}
    if options.bundle is not None:
        parameters.setdefault("policy", {})["bundle"] = str(options.bundle.absolute())
    if options.trusted_keys is not None:
        parameters.setdefault("policy", {})["trusted_keys"] = str(options.trusted_keys.absolute())
    if options.chunking is not None:
        load_chunking(options.chunking)  # a wrong one is told before anything starts
        parameters.setdefault("policy", {})["chunking"] = options.chunking
    if parameters and options.actor != "policy":
        raise InputError("--bundle, --chunking", "go with --actor policy", "leave one of them out")
    last = options.seed + options.episodes - 1
    if options.actor == "policy" and last >= FIRST_TRAINING_SEED:
        raise InputError(
            f"--seed {options.seed}", f"reaches the training seeds from {FIRST_TRAINING_SEED}",
            "give a lower one, else the figures say nothing",
        )  # fmt: skip
    plan = DemoOptions(
        name, options.seed, options.episodes, options.blackout, out, options.actor, parameters
    )
    console = Console(stderr=True)
    run = _run(plan, console)
    for problem in convert_all(run.bags, name, out):
        console.print(f"no transitions: {problem}", markup=False)
    contract, robot = load_contract(name), load_robot(options.robot)
    limits = load_limits(name)

    def measured(results: list[EpisodeResult]) -> list[EpisodeMeasure]:
        return [measure_episode(r.bag, contract, robot, limits) for r in results if r.bag]

    episodes, blackout = measured(run.episodes), measured(run.blackout)
    summary = summarise(
        episodes, options.seed, options.robot, blackout=blackout,
        unrecorded=sum(r.bag is None for r in (*run.episodes, *run.blackout)),
    )  # fmt: skip
    html, _ = write_report(out, summary, episodes, blackout)
    if options.json:
        print(json.dumps(summary, sort_keys=True, allow_nan=False))
    else:
        _print(episodes, summary, html)
    # No violation among no commands would say nothing.
    return 0 if summary["commands_checked"] and not summary["limit_violations"] else 1


def _run(plan: DemoOptions, console: Console) -> DemoRun:
    columns = (
        TextColumn("{task.description}"), MofNCompleteColumn(), TimeElapsedColumn(),
        TextColumn("{task.fields[last]}"),
    )  # fmt: skip
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(
            "episodes", total=plan.episodes + plan.blackout, last="starting the nodes"
        )

        def finished(result: EpisodeResult) -> None:
            progress.update(task, advance=1, last=f"seed {result.seed}: {result.outcome}")

        return run_demo(plan, finished)


def _print(episodes: list[EpisodeMeasure], summary: dict[str, object], html: Path) -> None:
    console = Console(file=sys.stdout)
    rows = table(episodes)
    shown = Table(*rows[0])
    for row in rows[1:]:
        shown.add_row(*row)
    console.print(shown)
    for key in (
        "success_rate", "blackout_success_rate", "ticks_kept", "tick_lateness_p99_ms",
        "inference_p50_ms", "limit_violations", "parity_matched", "parity_ticks",
    ):  # fmt: skip
        if summary.get(key) is not None:
            console.print(f"{key.replace('_', ' ')}: {summary[key]}")
    console.print(f"report: {html}")
