"""`vla-rl bench people`: options to parts, progress to stderr, figures to stdout."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from vla_rl_nodes.bench.machine import machine
from vla_rl_nodes.bench.people.contract_file import with_time_limit
from vla_rl_nodes.bench.people.half_policy import HalfPolicy, Tell, half_trained
from vla_rl_nodes.bench.people.parts import (
    CONTRACT,
    Part,
    Setting,
    alone_part,
    classifier_part,
    help_part,
    resets_part,
    retries_part,
    troubles_part,
    unattended_part,
)
from vla_rl_nodes.errors import InputError

PARTS = ("help", "alone", "resets", "unattended", "retries", "classifier")
WITH_POLICY = {"help", "alone", "troubles"}
# What the object always has; None where its part was not asked for.
PROMISED = (
    "success_with_help", "takeover_ticks_p99", "jerk_violations", "edges_expected",
    "edges_recorded", "reset_success", "unattended_episodes",
)  # fmt: skip


def bench_people(options: argparse.Namespace) -> int:
    """Runs the parts; 0 only when each promise that they have was kept."""
    chosen = _parts(options.parts)
    if options.faults:
        chosen.append("troubles")
    found: dict[str, Any] = dict.fromkeys(PROMISED)
    bars: dict[str, bool] = {}
    with _folder(options.out) as out, _shown() as tell:
        policy = _policy(options, out, tell) if WITH_POLICY & set(chosen) else None
        for name in chosen:
            part = _run(name, options, policy, out, tell)
            found |= part.figures
            bars |= part.bars
    found |= {"seed": options.seed, "parts": chosen, "kept": bars, "machine": machine()}
    if options.json:
        print(json.dumps(found, sort_keys=True, allow_nan=False))
    else:
        _print(found)
    return 0 if all(bars.values()) else 1


def _run(
    name: str, options: argparse.Namespace, policy: HalfPolicy | None, out: Path, tell: Tell
) -> Part:
    seed = options.seed
    if name == "resets":
        return resets_part(seed, tell)
    if name == "unattended":
        return unattended_part(seed, tell)
    if name == "retries":
        return retries_part(seed, tell)
    if name == "classifier":
        return classifier_part(seed, tell)
    assert policy is not None  # made for each of the others
    setting = Setting(policy, seed, options.time_limit, options.repeats, out)
    if name == "troubles":
        return troubles_part(setting, options.faults, tell)
    run: Callable[[Setting, int, Tell], Part] = help_part if name == "help" else alone_part
    return run(setting, options.episodes, tell)


def _parts(text: str) -> list[str]:
    chosen = [name.strip() for name in text.split(",") if name.strip()]
    unknown = next((name for name in chosen if name not in PARTS), None)
    if unknown is not None:
        raise InputError(f"--parts {unknown}", "is unknown", f"give some of {','.join(PARTS)}")
    return list(dict.fromkeys(chosen))


def _policy(options: argparse.Namespace, out: Path, tell: Tell) -> HalfPolicy:
    if options.bundle is None:
        contract = with_time_limit(CONTRACT, options.time_limit, out / "contract")
        return half_trained(out / "policy", contract, tell)
    if options.trusted_keys is None:
        raise InputError("--bundle", "is signed by nobody known", "give --trusted-keys as well")
    return HalfPolicy(options.bundle, options.trusted_keys)


@contextmanager
def _folder(out: Path | None) -> Iterator[Path]:
    """The folder to work in: the one given, or one that is gone afterwards."""
    if out is None:
        with tempfile.TemporaryDirectory(prefix="vla_rl_people_") as made:
            yield Path(made)
        return
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(out, f"cannot be made ({error})", "choose another folder") from error
    if (out / "help").exists():
        raise InputError(
            out, "holds the episodes of another run", "take another folder, or remove its help"
        )
    yield out


@contextmanager
def _shown() -> Iterator[Tell]:
    """One bar for each stage, on stderr."""
    done = TextColumn("{task.percentage:.0f} %")
    columns = (TextColumn("{task.description}"), BarColumn(), done, TimeElapsedColumn())
    with Progress(*columns, console=Console(file=sys.stderr)) as progress:
        tasks: dict[str, TaskID] = {}

        def tell(stage: str, share: float) -> None:
            if stage not in tasks:
                tasks[stage] = progress.add_task(stage, total=1.0)
            progress.update(tasks[stage], completed=share)

        yield tell


def _print(found: dict[str, Any]) -> None:
    """The figures for people, one on a line; lists and tables as their sizes."""
    for name, value in found.items():
        if name in ("machine", "kept"):
            continue
        if isinstance(value, float):
            value = f"{value:.4g}"
        elif isinstance(value, dict | list) and len(str(value)) > 120:
            value = f"{len(value)} entries; see --json"
        print(f"{name}: {value}")
    for name, kept in found["kept"].items():
        print(f"{'kept' if kept else 'BROKEN'}: {name}")
    described = found["machine"]
    print(f"{described['processor']}, {described['cores']} cores, load {described['load_1min']}")
