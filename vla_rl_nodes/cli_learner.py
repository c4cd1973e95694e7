"""vla-rl learner: policies from replay, and the learner's side of the link."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from vla_rl_nodes.cli_parts import add, contract_option, group, print_json, tracked, whole

REWARD_KINDS = (
    "success_classifier", "steps_to_go", "pairwise_progress", "rubric5", "value_ranking",
)  # fmt: skip


def add_learner(commands: Any) -> None:
    """The group ``learner``."""
    commands = group(commands, "learner", "policies from replay, and the link to the robots")
    parser = add(commands, "train", "train a policy bundle from replay folders", _train)
    parser.add_argument("--recipe", required=True, help="recipe name or path")
    parser.add_argument(
        "--replay", type=Path, required=True, help="folder of replay folders, or a store"
    )
    parser.add_argument("--out", type=Path, required=True, help="the new bundle's folder")
    parser.add_argument("--seed", type=whole(0), default=0)
    parser.add_argument("--key", type=Path, help="signing key; made when it is not there")
    contract_option(parser)
    _add_reward(commands)
    _add_keys(commands)
    parser = add(commands, "serve", "take episodes from robots and offer them policies", _serve)
    _config_option(parser)
    parser = add(commands, "episodes", "which episodes are stored, and what became of them", _list)
    _config_option(parser)
    parser.add_argument("--verify", action="store_true", help="read every file and hash it again")


def _config_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", type=Path, required=True, help="learner.yaml")


def _add_reward(commands: Any) -> None:
    text = "train a small reward model from episodes that an operator has labelled"
    parser = add(commands, "reward", text, _reward)
    parser.add_argument("--kind", required=True, choices=REWARD_KINDS, help="what it judges")
    parser.add_argument(
        "--replay", type=Path, required=True, help="folder of replay folders, or a store"
    )
    parser.add_argument(
        "--held-out", type=Path, help="others to measure with; default: some of --replay"
    )
    parser.add_argument(
        "--out", type=Path, required=True,
        help="the model's new folder; of value_ranking, where its labels go",
    )  # fmt: skip
    parser.add_argument("--seed", type=whole(0), default=0)
    parser.add_argument("--recipe", help="recipe name or path; default: the kind's")
    parser.add_argument("--key", type=Path, help="signing key; made when it is not there")
    contract_option(parser)


def _add_keys(commands: Any) -> None:
    text = "make the certificates of a learner and its robots, or add and renew some"
    parser = add(commands, "keys", text, _keys)
    parser.add_argument("--out", type=Path, required=True, help="folder of the keys")
    parser.add_argument("--robot", action="append", default=[], help="robot's name; repeatable")
    parser.add_argument(
        "--host", action="append", default=[],
        help="name or address by which robots reach the learner; repeatable",
    )  # fmt: skip
    parser.add_argument("--days", type=whole(1), default=730, help="validity; default: 730")
    parser.add_argument(
        "--contract", action="append", default=[],
        help="contract that the robots may send episodes of; repeatable; none may be sent without",
    )  # fmt: skip
    parser.add_argument("--renew", action="store_true", help="replace what exists")


def _train(options: argparse.Namespace) -> int:
    from vla_rl_nodes.learner.command import train_command

    return train_command(options)


def _reward(options: argparse.Namespace) -> int:
    from vla_rl_nodes.learner.reward.command import reward_command

    return reward_command(options)


def _keys(options: argparse.Namespace) -> int:
    from vla_rl_nodes.contract.load import load_contract
    from vla_rl_nodes.link.key_folder import make_keys
    from vla_rl_nodes.link.settings_text import settings_lines

    contracts = [load_contract(name).sha256 for name in options.contract]
    made = make_keys(options.out, options.robot, options.host, options.days, options.renew)
    if options.json:
        print_json(
            {
                "folder": str(made.folder),
                "authority_made": made.authority_made,
                "learner": None if made.learner is None else str(made.learner),
                "robots": made.robots,
            }
        )
        return 0
    print(settings_lines(made, contracts))
    return 0


def _serve(options: argparse.Namespace) -> int:
    from vla_rl_nodes.link.server import serve

    def listening(host: str, port: int) -> None:
        if options.json:
            print_json({"host": host, "port": port})
            sys.stdout.flush()

    serve(options.config, listening)
    return 0


def _list(options: argparse.Namespace) -> int:
    from vla_rl_nodes.link.inventory import inventory

    def watched(rows: Sequence[Any]) -> Iterable[Any]:
        return tracked(rows, "hashing") if options.verify else rows

    entries = inventory(options.config, options.verify, watched)
    if options.json:
        print_json({"episodes": entries})
    for entry in () if options.json else entries:
        state = entry["replay"] if not entry["reason"] else f"{entry['replay']}: {entry['reason']}"
        damage = f"; DAMAGED: {entry['damage']}" if entry["damage"] else ""
        print(
            f"{entry['received']}  {entry['robot']}/{entry['id']}  {entry['outcome']}"
            f"  {entry['size']} bytes  sha256 {entry['sha256']}  store: {state}{damage}"
        )
    return 1 if any(entry["damage"] for entry in entries) else 0
