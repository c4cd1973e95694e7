"""What the groups of commands share when they describe their arguments."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

Command = Callable[[argparse.Namespace], int]


def add(commands: Any, name: str, text: str, command: Command) -> argparse.ArgumentParser:
    """A command with ``--json``."""
    parser: argparse.ArgumentParser = commands.add_parser(name, help=text, description=text)
    parser.set_defaults(command=command)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser


def group(commands: Any, name: str, text: str) -> Any:
    """A command that has commands of its own."""
    parser = commands.add_parser(name, help=text, description=text)
    return parser.add_subparsers(required=True, metavar="COMMAND")


def whole(low: int) -> Callable[[str], int]:
    """An argument's type: a whole number that is not below ``low``."""

    def parse(text: str) -> int:
        value = int(text)
        if value < low:
            raise argparse.ArgumentTypeError(f"{value} is below {low}")
        return value

    parse.__name__ = f"whole number from {low}"
    return parse


def contract_option(parser: argparse.ArgumentParser) -> None:
    """``--contract``, of the picking task where it is not given."""
    parser.add_argument("--contract", default="franka_pick", help="contract name or path")


def keys_option(parser: argparse.ArgumentParser) -> None:
    """``--trusted-keys``."""
    parser.add_argument(
        "--trusted-keys", type=Path, help="folder of *.pub keys; default: the shipped one"
    )


def print_json(data: object) -> None:
    """One object on one line."""
    print(json.dumps(data, sort_keys=True, allow_nan=False))


def tracked(bags: Sequence[Path], what: str) -> Iterable[Path]:
    """The bags, with a progress bar for a person who watches."""
    from rich.console import Console
    from rich.progress import track

    shown = sys.stderr.isatty()
    return track(bags, what, console=Console(stderr=True), transient=True, disable=not shown)
