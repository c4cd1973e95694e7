"""vla-rl replay: transitions from bags."""

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
    text = "rebuild every observation of bags and compare it with what the policy saw"
    parser = add(commands, "check", text, _check)
    parser.add_argument("bags", type=Path, nargs="+")
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
    from dataclasses import asdict

    from vla_rl_nodes.contract.load import load_contract
    from vla_rl_nodes.replay.check import check_parity, check_repeat

    contract = load_contract(options.contract)
    rows, good = [], True
    for bag in tracked(options.bags, "checking"):
        parity, repeat = check_parity(bag, contract), check_repeat(bag, contract)
        same = 0 < parity.matched == parity.built_live and not repeat.differing
        good = good and same
        rows.append({"bag": str(bag), "good": same, **asdict(parity), **asdict(repeat)})
    if options.json:
        print_json({"good": good, "bags": rows})
    else:
        for row in rows:
            verdict = "same" if row["good"] else "DIFFERS"
            print(
                f"{row['bag']}: {verdict}: {row['matched']} of {row['ticks']} observations are"
                f" what the policy saw, {len(row['differing'])} files differ when converted twice"
            )
    return 0 if good else 1
