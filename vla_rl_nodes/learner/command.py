"""`vla-rl learner train`: replay folders in, a signed bundle out."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.policy.signing import create_key, default_key_path, load_key, public_path
from vla_rl_nodes.replay.store.store import is_store


def train_command(options: argparse.Namespace) -> int:
    """Reads the command's options, trains, and says where the bundle is and whose key it needs."""
    try:
        from vla_rl_nodes.learner.recipe import load_recipe
        from vla_rl_nodes.learner.train import train
    except ImportError as error:
        raise InputError(
            "learner", f"{error.name} is not installed", "install the [learner] extra"
        ) from error
    contract = load_contract(options.contract)
    recipe = load_recipe(options.recipe)
    if is_store(options.replay):
        folders = [options.replay]
    else:
        folders = sorted(path.parent for path in options.replay.glob("*/episode.json"))
    if not folders:
        raise InputError(
            options.replay,
            "holds no replay folder and is no store",
            "make some with vla-rl replay convert",
        )
    key: Path = options.key or default_key_path()
    if not key.exists():
        create_key(key)
        print(f"made the signing key {key}", file=sys.stderr)
    trained = train(folders, contract, recipe, options.out, options.seed, load_key(key), _progress)
    if options.json:
        print(json.dumps({"bundle": str(options.out), "version": trained.version,
                          "metrics": trained.metrics}, sort_keys=True))  # fmt: skip
    else:
        print(f"{options.out}: version {trained.version}")
        print(f"robots accept it when {public_path(key)} is in their folder of trusted keys")
    return 0


def _progress(stage: str, step: int, steps: int, loss: float) -> None:
    if step == steps or step % max(steps // 20, 1) == 0:
        print(f"{stage}: {step}/{steps}, loss {loss:.5f}", file=sys.stderr, flush=True)
