"""vla-rl bag: what is in episode bags."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from vla_rl_nodes.cli_parts import add, group, print_json


def add_bag(commands: Any) -> None:
    """The group ``bag``."""
    commands = group(commands, "bag", "episode bags")
    parser = add(commands, "info", "what is in a bag, closed or not", _info)
    parser.add_argument("bag", type=Path)


def _info(options: argparse.Namespace) -> int:
    from dataclasses import asdict

    from vla_rl_nodes.bags.summary import summarise

    summary = summarise(options.bag)
    if options.json:
        print_json(asdict(summary))
        return 0
    state = "closed" if summary.closed else f"NOT closed: {summary.problem}"
    print(f"{summary.path}: episode {summary.episode_id}, {summary.outcome}, {state}")
    print(f"{summary.duration_s:.2f} s, {summary.messages} messages, {summary.size_bytes} bytes")
    for topic in summary.topics:
        rate = "" if topic.rate_hz is None else f"{topic.rate_hz:8.1f} Hz"
        print(f"  {topic.count:6d} {rate:>11}  {topic.name}  {topic.type_name}")
    for name, count in summary.dropped.items():
        print(f"  {count} messages of {name} were not recorded")
    return 0
