"""vla-rl learner: policies from replay."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from vla_rl_nodes.cli_parts import add, contract_option, group, whole


def add_learner(commands: Any) -> None:
    """The group ``learner``."""
    commands = group(commands, "learner", "policies from replay")
    parser = add(commands, "train", "train a policy bundle from replay folders", _train)
    parser.add_argument("--recipe", required=True, help="recipe name or path")
    parser.add_argument("--replay", type=Path, required=True, help="folder of replay folders")
    parser.add_argument("--out", type=Path, required=True, help="the new bundle's folder")
    parser.add_argument("--seed", type=whole(0), default=0)
    parser.add_argument("--key", type=Path, help="signing key; made when it is not there")
    contract_option(parser)


def _train(options: argparse.Namespace) -> int:
    from vla_rl_nodes.learner.command import train_command

    return train_command(options)
