"""`vla-rl learner reward`: labelled episodes in, a signed reward model out."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.policy.signing import create_key, default_key_path, load_key, public_path


def reward_command(options: argparse.Namespace) -> int:
    """Reads the command's options, trains, and says how good the model is on other episodes."""
    try:
        from vla_rl_nodes.learner.reward.recipe import load_reward_recipe
        from vla_rl_nodes.learner.reward.train import train_reward
    except ImportError as error:
        raise InputError(
            "learner", f"{error.name} is not installed", "install the [learner] extra"
        ) from error
    contract = load_contract(options.contract)
    recipe = load_reward_recipe(options.recipe or options.kind, options.kind)
    key: Path = options.key or default_key_path()
    if not key.exists():
        create_key(key)
        print(f"made the signing key {key}", file=sys.stderr)
    trained = train_reward(
        options.replay,
        options.held_out,
        contract,
        recipe,
        options.out,
        options.seed,
        load_key(key),
        _progress,
    )
    if options.json:
        made = {"out": str(options.out), "source": trained.source, "figures": trained.figures}
        print(json.dumps(made, sort_keys=True, allow_nan=False))
        return 0
    print(f"{options.out}: {trained.source}, a small stand-in model")
    for name, value in trained.figures.items():
        print(f"  {name}: {value:.4g}")
    if trained.signed:
        print(f"robots accept it when {public_path(key)} is in their folder of trusted keys")
    return 0


def _progress(stage: str, step: int, steps: int, loss: float) -> None:
    if step == steps or step % max(steps // 10, 1) == 0:
        print(f"{stage}: {step}/{steps}, loss {loss:.5f}", file=sys.stderr, flush=True)
