"""How good a success classifier from 60 labelled episodes is, on episodes it has never seen.

``python -m vla_rl_nodes.bench.people.classifier --seed 0 --json``: makes the episodes in
simulation, trains by the command ``vla-rl learner reward``, and prints its figures.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from vla_rl_nodes.bench.people.labelled_episodes import CONTRACT, SIDECARS, LabelledEpisodes
from vla_rl_nodes.cli_parts import whole
from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.episodes.reward.folder import load_reward_model
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.policy.signing import create_key, load_key
from vla_rl_nodes.replay.folder import write_episode
from vla_rl_nodes.replay.sidecars import write_label

KIND = "success_classifier"
EPISODES = 60
HELD_OUT = 240
FAILING = 450  # more held-out failures: minutes show no low rate of false successes
AFTER_S = 1.0  # a held-out success goes on so long, for late claims to be seen
_FIRST_TRAINED, _FIRST_HELD_OUT = 5_000_000, 6_000_000
_SEED_STEP = 1_000  # seeds of two benchmark seeds never meet
_LEAST_HELD_OUT = 60

Shown = Callable[[str, int, int], None]


def make_episodes(
    folder: Path,
    first_seed: int,
    count: int,
    shown: Shown,
    failing: int = 0,
    after_s: float = 0.0,
) -> None:
    """Writes labelled episodes of mixed outcomes as replay folders.

    Args:
        folder: for the replay folders; those that are there already stay.
        first_seed: the episodes' seeds count from it.
        count: how many.
        shown: told what is made, how many are and how many will be.
        failing: how many failures more.
        after_s: how long a success goes on; then it has sidecars that say since when it is one.
    """
    with LabelledEpisodes(after_s) as maker:
        for index in range(count + failing):
            make = maker.mixed if index < count else maker.failing
            episode = make(first_seed, index)
            write_episode(episode, folder)
            for name, before_s in SIDECARS.items():
                if after_s and episode.header.outcome == "success":
                    write_label(
                        folder, episode.header, name, "success", maker.since(episode, before_s),
                        producer="scripted annotator", producer_version="1", made_from={},
                    )  # fmt: skip
            shown(folder.name, index + 1, count + failing)


def run(
    seed: int,
    folder: Path,
    held_out: int = HELD_OUT,
    failing: int = FAILING,
    shown: Shown = lambda *_: None,
) -> dict[str, Any]:
    """Makes episodes, trains on 60 of them, and measures on the others.

    Args:
        seed: of the episodes and of the training.
        folder: for episodes and model; empty.
        held_out: how many episodes of mixed outcomes to measure with, at least 60.
        failing: how many more that fail.
        shown: see :func:`make_episodes`.

    Returns:
        ``auc`` over frames with ``auc_low`` and ``auc_high``, its 95 % bootstrap interval over
        episodes; ``false_success_per_hour`` with its upper 95 % bound
        ``false_success_per_hour_high`` and the ``hours`` they are based on; ``missed`` of
        ``successes``, and ``delay_s`` of the others; ``threshold`` and the ``rule`` that chose
        it; and the same with other numbers of looks in a row.

    Raises:
        InputError: torch is not installed, too few or too many episodes are held out, or no
            threshold keeps the rule.
    """
    if held_out < _LEAST_HELD_OUT:
        raise InputError(
            "--held-out", f"is {held_out}", f"measure with at least {_LEAST_HELD_OUT}"
        )
    if held_out + failing > _SEED_STEP:
        raise InputError(
            "--failing", f"makes {held_out + failing} episodes", f"hold out at most {_SEED_STEP}"
        )
    try:
        from vla_rl_nodes.learner.reward.recipe import load_reward_recipe
        from vla_rl_nodes.learner.reward.train import train_reward
    except ImportError as error:
        raise InputError(
            "learner", f"{error.name} is not installed", "install the [learner] extra"
        ) from error
    train, others, out = folder / "train", folder / "held_out", folder / "model"
    make_episodes(train, _FIRST_TRAINED + seed * _SEED_STEP, EPISODES, shown)
    first = _FIRST_HELD_OUT + seed * _SEED_STEP
    make_episodes(others, first, held_out, shown, failing, AFTER_S)
    public = create_key(folder / "bench.pem")
    contract, recipe = load_contract(CONTRACT), load_reward_recipe(KIND, KIND)

    def told(stage: str, done: int, steps: int, _loss: float) -> None:
        shown(stage, done, steps)

    key = load_key(folder / "bench.pem")
    made = train_reward(train, others, contract, recipe, out, seed, key, told)
    manifest = load_reward_model(out, contract, [public]).manifest
    return {
        "seed": seed,
        "episodes": manifest.trained_on.episodes,
        **made.figures,
        "threshold": manifest.threshold,
        "rule": manifest.threshold_rule,
        "model": made.source,
        "stand_in": manifest.stand_in,
    }


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description="a success classifier from 60 labelled episodes")
    parser.add_argument("--seed", type=whole(0), default=0)
    parser.add_argument(
        "--held-out",
        type=whole(_LEAST_HELD_OUT),
        default=HELD_OUT,
        help="episodes of mixed outcomes",
    )
    parser.add_argument(
        "--failing", type=whole(0), default=FAILING, help="more held-out episodes that fail"
    )
    parser.add_argument("--out", type=Path, help="keep episodes and model in this new folder")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()

    def shown(what: str, done: int, count: int) -> None:
        if done == count or done % 20 == 0:
            print(f"{what}: {done}/{count}", file=sys.stderr, flush=True)

    try:
        if options.out is not None:
            options.out.mkdir(parents=True, exist_ok=False)
            result = run(options.seed, options.out, options.held_out, options.failing, shown)
        else:
            with tempfile.TemporaryDirectory() as folder:
                result = run(options.seed, Path(folder), options.held_out, options.failing, shown)
    except FileExistsError:
        print(f"{options.out}: is there already; name a new folder", file=sys.stderr)
        return 1
    except InputError as error:
        print(error, file=sys.stderr)
        return 1
    if options.json:
        print(json.dumps(result, sort_keys=True, allow_nan=False))
    else:
        for name, value in result.items():
            print(f"{name}: {value}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
