"""`replay check`: measures bags, judges them, and tells people, machines and browsers."""

from __future__ import annotations

import argparse
import sys

from vla_rl_nodes.cli_parts import print_json, tracked
from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.replay.quality import measure_bag
from vla_rl_nodes.replay.quality_page import page
from vla_rl_nodes.replay.quality_report import Judged, as_dict, judge, lines
from vla_rl_nodes.replay.quality_verdict import Verdict


def check_command(options: argparse.Namespace) -> int:
    """Checks the bags of the command line.

    Returns:
        0 when none is bad, 1 when one is, 2 when one cannot be read at all.
    """
    contract = load_contract(options.contract)
    bags: list[Judged] = []
    problems: list[str] = []
    for bag in tracked(options.bags, "checking"):
        try:
            bags.append(judge(measure_bag(bag, contract), contract))
        except InputError as error:  # one bad bag keeps no other from being checked
            problems.append(str(error))
    if options.html is not None:
        try:
            options.html.write_text(page(bags, problems, contract), encoding="utf-8")
        except OSError as error:
            reason = (error.strerror or "input/output error").lower()
            raise InputError(
                options.html, f"cannot be written ({reason})", "choose another place"
            ) from error
    if options.json:
        print_json(as_dict(bags, problems))
    elif bags:
        print("\n".join(lines(bags)))
    for problem in problems:
        print(f"vla-rl: {problem}", file=sys.stderr)
    if problems:
        return 2
    return 1 if any(bag.verdict is Verdict.BAD for bag in bags) else 0
