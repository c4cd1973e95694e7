"""vla-rl replay: transitions from bags, what they are worth, and other formats."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from vla_rl_nodes.cli_parts import add, contract_option, group, print_json, tracked
from vla_rl_nodes.errors import InputError


def add_replay(commands: Any) -> None:
    """The group ``replay``."""
    commands = group(commands, "replay", "transitions from bags")
    parser = add(commands, "convert", "bags to transitions", _convert)
    parser.add_argument("bags", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, required=True, help="folder of replay folders")
    contract_option(parser)
    _add_check(commands)
    _add_export(commands)


def _add_check(commands: Any) -> None:
    text = "data quality: is it what the policy saw, and what is it worth as experience?"
    parser = add(commands, "check", text, _check)
    parser.description = (
        "Rebuilds every observation of bags and compares it with what the policy saw, converts"
        " each bag twice, and reports gaps, rates, ages, clocks, dropped and repeated frames,"
        " labels, interventions, saturation and pictures, with a verdict for each bag: good,"
        " doubtful or bad, and why. Exit status 0 when no bag is bad, 1 when one is, 2 when one"
        " cannot be read."
    )
    parser.add_argument("bags", type=Path, nargs="+", metavar="BAG")
    parser.add_argument("--html", type=Path, metavar="FILE", help="also write a report there")
    contract_option(parser)


def _add_export(commands: Any) -> None:
    parser = add(commands, "export", "converted episodes to another format", _export)
    parser.add_argument("episodes", type=Path, nargs="+", metavar="EPISODE", help="from convert")
    parser.add_argument("--format", choices=("lerobot", "robomimic", "rlds"), required=True)
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER")
    parser.add_argument(
        "--images", choices=("png", "jpeg", "video"),
        help="how images are stored; default: without loss. lerobot takes all three, rlds png or"
        " jpeg, robomimic only its own",
    )  # fmt: skip
    text = "demonstrations from a LeRobotDataset v3"
    parser = add(commands, "import", text, _import)
    parser.add_argument("dataset", type=Path, metavar="DATASET")
    parser.add_argument(
        "--mapping", type=Path, metavar="FILE",
        help="YAML that says which feature is which stream; default: features of the same name",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER")
    contract_option(parser)


def _convert(options: argparse.Namespace) -> int:
    from vla_rl_nodes.contract.load import load_contract
    from vla_rl_nodes.replay.convert import convert_episode

    contract = load_contract(options.contract)
    folders, problems = [], []
    for bag in tracked(options.bags, "converting"):
        try:
            folders.append(str(convert_episode(bag, contract, options.out)))
        except InputError as error:  # one bad bag keeps no other from being converted
            problems.append(str(error))
    if options.json:
        print_json({"episodes": folders, "problems": problems})
    elif folders:
        print("\n".join(folders))
    for problem in problems:
        print(f"vla-rl: {problem}", file=sys.stderr)
    return 2 if problems else 0


def _check(options: argparse.Namespace) -> int:
    from vla_rl_nodes.replay.quality_command import check_command

    return check_command(options)


def _export(options: argparse.Namespace) -> int:
    from vla_rl_nodes.replay.export.command import export_command

    return export_command(options)


def _import(options: argparse.Namespace) -> int:
    from vla_rl_nodes.replay.export.command import import_command

    return import_command(options)
