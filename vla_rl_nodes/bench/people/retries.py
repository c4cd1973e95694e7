"""What retries are worth where a policy goes wrong in three of ten attempts, and how often the
robot is taken back for nothing (Bellman-Guided Retrials, arXiv 2406.15917).

``python -m vla_rl_nodes.bench.people.retries --seed 0 --json``: physics, safety filter, retry
monitor and retreat in simulated time. Each seed is an episode without retries and one with them,
from the same start, with the same draws and the same cap. Until a stall is told they are the same
episode, so that one in which none is told is run once.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

from vla_rl_nodes.bench.machine import machine
from vla_rl_nodes.bench.people.retries_figures import Pair, retries_bars, retries_figures
from vla_rl_nodes.bench.people.retries_loop import RetryWorld, Trial
from vla_rl_nodes.bench.people.retries_signals import Signal, SimulatorState
from vla_rl_nodes.bench.people.retries_strategies import Strategies, drawn
from vla_rl_nodes.chunking.opening import Opener, Setup
from vla_rl_nodes.cli_parts import whole
from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.episodes.retry_settings import RetrySettings, load_retries
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.resources import resource
from vla_rl_nodes.sim.actors import Actor, ExpertActor
from vla_rl_nodes.sim.chunked import ChunkActor
from vla_rl_nodes.sim.rollout import Rollout
from vla_rl_nodes.sim.scene import load_scene

TASK = "franka_pick"
EPISODES = 200
# The cap is the time for two whole attempts by the contract: what went wrong, and once more.
CAP_LIMITS = 2.0
FIRST_SEED, SEED_STEP = 9_000_000, 1_000
Watched = Literal["simulator", "model"]
Acting = Literal["policy", "expert"]

Shown = Callable[[str, int, int], None]


class Bench:
    """The measurement's fixed parts: close ``rollout`` when it is over.

    Args:
        acting: who carries out the strategy that works: the shipped policy, looking through the
            cameras, or the scripted expert.
        choose: the strategy's name from an episode's seed and an attempt.

    Raises:
        InputError: the policy cannot be opened.
    """

    def __init__(
        self, acting: Acting = "policy", choose: Callable[[int, int], str] = drawn
    ) -> None:
        opener = Opener(Setup(TASK))
        self.contract = contract = opener.contract
        good: Actor
        if acting == "policy":
            strategy = opener.open(opener.verify(resource(f"config/policies/{TASK}")))
            good = ChunkActor(contract, opener.settings, strategy)
        else:
            good = ExpertActor(contract)
        self.rollout = Rollout(contract)
        target, looks = self.rollout.task.object, acting == "policy"
        self.strategies = Strategies(contract, target, good, looks, choose)
        self.cap_s = CAP_LIMITS * contract.episode.time_limit_s

    def trial(self, seed: int, signal: Signal, settings: RetrySettings, acts: bool) -> Trial:
        """One episode; see :meth:`RetryWorld.trial`."""
        world = RetryWorld(self.rollout, seed, self.strategies, signal, settings, self.cap_s)
        return world.trial(acts)

    def pair(self, seed: int, signal: Signal, settings: RetrySettings) -> Pair:
        """Both episodes of a seed."""
        without = self.trial(seed, signal, settings, acts=False)
        if not without.told:
            return Pair(without, without)
        return Pair(without, self.trial(seed, signal, settings, acts=True))


def run_retries(
    episodes: int,
    seed: int,
    watched: Watched = "simulator",
    retries: str | Path = TASK,
    acting: Acting = "policy",
    model: Path | None = None,
    shown: Shown = lambda *_: None,
) -> dict[str, Any]:
    """The whole measurement.

    Args:
        episodes: pairs of them.
        seed: all draws follow from it.
        watched: what the monitor is told: the simulator's state, or a model that sees images.
        retries: settings of the monitor, name or path.
        acting: see :class:`Bench`.
        model: folder for a model, kept; None throws it away.
        shown: told what is done, how much is and how much will be.

    Returns:
        See :func:`retries_figures`, the cap, what was watched, and the times that it took.

    Raises:
        InputError: the policy, the settings or the model cannot be had.
    """
    settings, began = load_retries(retries), time.monotonic()
    signal, found = _signal(watched, model, shown)
    trained_s, began = time.monotonic() - began, time.monotonic()
    bench, pairs = Bench(acting), list[Pair]()
    with bench.rollout:
        for number in range(episodes):
            pairs.append(bench.pair(FIRST_SEED + SEED_STEP * seed + number, signal, settings))
            shown("retries", number + 1, episodes)
    limit = bench.contract.episode.time_limit_s
    caps = [limit, 1.5 * limit, bench.cap_s]
    return {
        **retries_figures(pairs, caps),
        "cap_s": bench.cap_s,
        "watched": signal.source,
        "model": found,
        "acting": acting,
        "simulated_s": sum(t.seconds for pair in pairs for t in _run(pair)),
        "training_wall_s": trained_s if watched == "model" else None,
        "wall_s": time.monotonic() - began,
    }


def _run(pair: Pair) -> Sequence[Trial]:
    """Those that were run."""
    return (pair.without,) if pair.without is pair.with_retries else pair


def _signal(watched: Watched, folder: Path | None, shown: Shown) -> tuple[Signal, dict[str, Any]]:
    """What the monitor is told, and how good it is where it was trained."""
    contract = load_contract(TASK)
    if watched == "simulator":
        return SimulatorState(contract, load_scene(TASK)), {}
    from vla_rl_nodes.bench.people.retries_model import train_model

    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        return train_model(folder, contract, shown)
    with tempfile.TemporaryDirectory(prefix="vla_rl_retries_") as made:
        return train_model(Path(made), contract, shown)


def main(arguments: list[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0] if __doc__ else "")
    parser.add_argument("--seed", type=whole(0), default=0)
    parser.add_argument("--episodes", type=whole(1), default=EPISODES, help="pairs of them")
    parser.add_argument(
        "--watch", choices=get_args(Watched), default="simulator", help="what the monitor is told"
    )
    parser.add_argument("--retries", default=TASK, help="settings of the monitor, name or path")
    parser.add_argument("--actor", choices=get_args(Acting), default="policy", help="who acts")
    parser.add_argument("--model", type=Path, help="folder in which a model is kept")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    given = parser.parse_args(arguments)

    def shown(what: str, done: int, count: int) -> None:
        if done == count or done % 20 == 0:
            print(f"{what}: {done}/{count}", file=sys.stderr, flush=True)

    try:
        figures = run_retries(
            given.episodes, given.seed, given.watch, given.retries, given.actor, given.model, shown
        )
    except InputError as error:
        print(f"[ERROR] {error}", file=sys.stderr)
        return 2
    bars = retries_bars(figures)
    found = {**figures, "seed": given.seed, "kept": bars, "machine": machine()}
    print(json.dumps(found, sort_keys=True, allow_nan=False, indent=None if given.json else 1))
    return 0 if all(bars.values()) else 1


if __name__ == "__main__":
    raise SystemExit(main())
