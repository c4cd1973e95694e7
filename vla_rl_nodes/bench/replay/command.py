"""`vla-rl bench replay`: options to measurements, lines for people, one object for machines."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from vla_rl_nodes.bench.machine import machine
from vla_rl_nodes.bench.replay.read import measure_reading, require_readers
from vla_rl_nodes.cli_parts import print_json
from vla_rl_nodes.errors import InputError


def bench_replay(options: argparse.Namespace) -> int:
    """Runs the measurements; 0 when they were made, whatever they show."""
    require_readers()
    try:
        from vla_rl_nodes.bench.replay.convert import measure_converting
        from vla_rl_nodes.bench.replay.export import measure_export
        from vla_rl_nodes.bench.replay.sample import measure_sampling
    except ImportError as error:
        raise InputError(
            "bench replay", f"{error.name} is not installed", "install the [learner] extra"
        ) from error
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
               TimeElapsedColumn())  # fmt: skip
    shown = sys.stderr.isatty()
    with (
        tempfile.TemporaryDirectory(prefix="vla-rl-bench-") as name,
        Progress(*columns, console=Console(stderr=True), transient=True, disable=not shown) as bar,
    ):
        folder, seed, megabytes = Path(name), options.seed, options.megabytes
        task = bar.add_task("reading", total=3 * options.rounds + 2)

        def advance() -> None:
            bar.advance(task)

        result = measure_reading(seed, megabytes, folder, options.rounds, advance)
        bar.update(task, description="converting")
        result["convert_mb_s"] = measure_converting(
            seed, megabytes, folder, options.rounds, advance
        )
        bar.update(task, description="sampling")
        result["sample_ms"] = measure_sampling(seed)
        advance()
        bar.update(task, description="exporting")
        result["export_frames_s"] = measure_export(seed, folder / "export")
        advance()
    result |= {"seed": seed, "megabytes": megabytes, "machine": machine()}
    if options.json:
        print_json(result)
    else:
        _print(result)
    return 0


def _print(result: dict[str, Any]) -> None:
    for key, unit in (
        ("read_mb_s", "MB/s read"), ("read_no_crc_mb_s", "MB/s read, a bag without checksums"),
        ("convert_mb_s", "MB/s converted"), ("sample_ms", "ms a batch"),
        ("export_frames_s", "frames/s exported"),
    ):  # fmt: skip
        print(f"{unit}:")
        for name, value in result[key].items():
            print(f"  {name:24} {value:10.3f}")
    for name, row in result["bags_check"].items():
        if name != "equal":
            met = "met" if row["met"] else "NOT met"
            print(
                f"{row['ratio']:.1f} times as fast as {name} (goal {row['goal']:.0f}, {met}),"
                f" {row['ratio_no_crc']:.1f} times without checksums"
            )
    same = "equal" if result["bags_check"]["equal"] else "NOT equal"
    print(f"fields of all messages are {same} to those of rosbags")
    described = result["machine"]
    print(f"{described['processor']}, {described['cores']} cores, load {described['load_1min']}")
