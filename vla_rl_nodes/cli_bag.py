"""vla-rl bag: what is in episode bags, and what is left of damaged ones."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vla_rl_nodes.cli_parts import add, group, print_json

if TYPE_CHECKING:
    from collections.abc import Callable

    from vla_rl_nodes.bags.salvage_report import SalvageReport

_SHOWN = 12


def add_bag(commands: Any) -> None:
    """The group ``bag``."""
    commands = group(commands, "bag", "episode bags")
    parser = add(commands, "info", "what is in a bag, closed or not", _info)
    parser.add_argument("bag", type=Path)
    text = "a new bag out of everything that is intact in a damaged or unclosed one"
    parser = add(commands, "salvage", text, _salvage)
    parser.add_argument("bag", type=Path, help="a bag's folder, or an .mcap file; only read")
    parser.add_argument("--out", type=Path, required=True, help="the new bag's folder")


def _info(options: argparse.Namespace) -> int:
    from dataclasses import asdict

    from vla_rl_nodes.bags.summary import summarise

    summary = summarise(options.bag)
    if options.json:
        print_json(asdict(summary))
        return 0
    state = "closed" if summary.closed else f"NOT closed: {summary.problem}"
    what = "recording"
    if summary.episode_id is not None:
        what = f"episode {summary.episode_id}, {summary.outcome}"
    print(f"{summary.path}: {what}, {state}")
    print(f"{summary.duration_s:.2f} s, {summary.messages} messages, {summary.size_bytes} bytes")
    for topic in summary.topics:
        rate = "" if topic.rate_hz is None else f"{topic.rate_hz:8.1f} Hz"
        print(f"  {topic.count:6d} {rate:>11}  {topic.name}  {topic.type_name}")
    for name, count in summary.dropped.items():
        print(f"  {count} messages of {name} were not recorded")
    if not summary.closed:
        print(
            f"`vla-rl bag salvage {summary.path} --out FOLDER` makes a closed bag of what is whole"
        )
    return 0


def _salvage(options: argparse.Namespace) -> int:
    from vla_rl_nodes.bags.salvage import as_json, salvage

    with _bar() as progress:
        report = salvage(options.bag, options.out, progress)
    if options.json:
        print_json(as_json(report))
    else:
        _print(report)
    return 0


def _print(report: SalvageReport) -> None:
    print(f"{report.out}: episode {report.episode_id}, {report.outcome}")
    print(f"{report.messages} messages recovered; lost: {report.in_words()}")
    if report.unverified:
        print(f"{report.unverified} of them carry no checksum that vouches for them")
    if not report.metadata_verified:
        print("no checksum vouches for what the bag says of its episode")
    for name, topic in sorted(report.topics.items()):
        lost = "" if not topic.lost else f", {topic.lost} lost"
        print(f"  {topic.messages:6d}  {name}  {topic.type}{lost}")
    for chunk in report.lost_chunks[:_SHOWN]:
        seconds = (chunk.end_ns - chunk.start_ns) / 1e9
        counts = chunk.messages
        what = "" if counts is None else f", {sum(counts.values())} messages"
        print(f"  lost chunk at byte {chunk.start} of {chunk.file}: {seconds:.2f} s{what}")
    for place in report.lost[:_SHOWN]:
        print(f"  bytes {place.start} to {place.end} of {place.file}: {place.reason}")
    if max(len(report.lost), len(report.lost_chunks)) > _SHOWN:
        print(f"  and more: all of it is in {report.out} as salvage.json")


@contextmanager
def _bar() -> Iterator[Callable[[float], None]]:
    """A progress bar for a person who watches."""
    from rich.console import Console
    from rich.progress import Progress

    shown = sys.stderr.isatty()
    with Progress(console=Console(stderr=True), transient=True, disable=not shown) as progress:
        task = progress.add_task("salvaging", total=1.0)
        yield lambda share: progress.update(task, completed=share)
