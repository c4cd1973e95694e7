"""`policy run-bag`: the command, and what it prints for people."""

from __future__ import annotations

import argparse
from typing import Any

from vla_rl_nodes.chunking.opening import Setup
from vla_rl_nodes.cli_parts import print_json, tracked
from vla_rl_nodes.replay.run_bag import ENGINE, Runner
from vla_rl_nodes.replay.run_bag_report import as_dict


def run_bag_command(options: argparse.Namespace) -> int:
    """Runs the bags of the command line and prints the report."""
    setup = Setup(
        options.contract, options.chunking, ENGINE,
        "" if options.trusted_keys is None else str(options.trusted_keys),
    )  # fmt: skip
    bundles = [options.bundle] + ([] if options.against is None else [options.against])
    runner = Runner(setup, bundles, options.safety)
    runs = [runner.run(bag) for bag in tracked(options.bags, "replaying")]
    report = as_dict(runner, runs)
    if options.json:
        print_json(report)
    else:
        print("\n".join(lines(report)))
    return 0


def lines(report: dict[str, Any]) -> list[str]:
    """The report in words; of the steps, those that trip another limit than the record."""
    text = []
    for bag in report["bags"]:
        text.append(
            f"{bag['bag']}: {bag['ticks']} ticks, {bag['observations']} observations rebuilt"
            f" ({bag['observations_differing']} not as recorded), recorded with"
            f" {', '.join(bag['recorded_versions'])}"
        )
        if bag["recorded_only"]:
            text.append(f"  recorded, and not replayed: {', '.join(bag['recorded_only'])}")
        if bag["chunks_unplaced"]:
            text.append(f"  {bag['chunks_unplaced']} chunks cannot be made again from the record")
        text += _compared(bag)
        for version, stop in zip(bag["versions"], bag["stops"], strict=True):
            if stop is not None:
                at = _time(bag, stop["stamp_ns"])
                text.append(f"  {version['version']}: STOPS at {at}: {stop['message']}")
        text += _steps(bag)
    if len(report["bags"]) > 1:
        total = report["sum"]
        text.append(f"in sum: {total['bags']} bags, {total['ticks']} ticks")
        text += _compared(total)
    text.append(
        "open loop: the filter follows its own commands from where the arm began; drift is how"
        " far its target came from the recorded one"
    )
    return text


def _compared(part: dict[str, Any]) -> list[str]:
    text = []
    for version in part["versions"]:
        name, again = version["version"], version["reproduced"]
        if again["compared"]:
            text.append(
                f"  {name}: {again['equal']} of {again['compared']} of its recorded proposals made"
                f" again bit for bit" + _unequal(again)
            )
        if version["own_schedule"]:
            text.append(f"  {name}: asks for chunks by itself: {version['own_schedule']}")
        text += [f"  {name}: {problem}" for problem in version["problems"]]
        for what in ("proposed", "executed"):
            text.append(f"  {name}: {what}, from the record: {_axes(version[what])}")
        text.append(f"  {name}: limits: {_limits(version['limits'])}")
        drift = ", ".join(f"{key} {value:.3g}" for key, value in version["drift"].items())
        text.append(f"  {name}: drift at most: {drift}")
    if "between" in part:
        pair = part["between"]
        name = f"{pair['first']} and {pair['second']}"
        for what in ("proposed", "executed"):
            text.append(f"  {name}: {what}, apart: {_axes(pair[what])}")
        found = ", ".join(
            f"{reason} {n['both']} both, {n['only_first']} only {pair['first']},"
            f" {n['only_second']} only {pair['second']}"
            for reason, n in pair["limits"].items()
        )
        text.append(f"  {name}: limits: {found or 'neither trips any'}")
    return text


def _unequal(again: dict[str, Any]) -> str:
    if again["equal"] == again["compared"]:
        return ""
    most = ", ".join(f"{k} {a['max']:.2g} {a['unit']}" for k, a in again["axes"].items())
    return f"; the others differ by at most {most}"


def _axes(found: dict[str, Any]) -> str:
    alone = ""
    if found["only_one"] or found["only_other"]:
        alone = f"; {found['only_one']} and {found['only_other']} steps on one side only"
    if not found["compared"]:
        return f"nothing to compare{alone}"
    if found["equal"] == found["compared"]:
        return f"equal in all {found['compared']} steps{alone}"
    axes = ", ".join(
        f"{name} max {a['max']:.3g} mean {a['mean']:.3g} {a['unit']}"
        for name, a in found["axes"].items()
    )
    return f"{axes}; equal in {found['equal']} of {found['compared']} steps{alone}"


def _limits(found: dict[str, dict[str, int]]) -> str:
    return ", ".join(
        f"{reason} in {n['replayed']} steps ({n['recorded']} recorded, {n['new']} new,"
        f" {n['gone']} gone)"
        for reason, n in found.items()
    ) or "none trips, none was recorded"  # fmt: skip


def _steps(bag: dict[str, Any]) -> list[str]:
    text = []
    for step in bag["steps"]:
        recorded = set(step["recorded"]["reasons"])
        for version, done in zip(bag["versions"], step["versions"], strict=True):
            told = set(version["limits"])  # without what is not replayed
            new, gone = set(done["reasons"]) - recorded, recorded & told - set(done["reasons"])
            parts = [f"new {', '.join(sorted(new))}"] if new else []
            parts += [f"gone {', '.join(sorted(gone))}"] if gone else []
            if parts:
                at = _time(bag, step["stamp_ns"])
                text.append(f"  {version['version']}: at {at}: {'; '.join(parts)}")
    return text


def _time(bag: dict[str, Any], stamp_ns: int) -> str:
    return f"{(stamp_ns - bag['steps'][0]['stamp_ns']) / 1e9:.2f} s"
