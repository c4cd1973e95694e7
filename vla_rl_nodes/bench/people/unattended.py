"""Episodes one after the other without a person: the policy acts, the reset puts all back.

In simulated time, in one world that is never put anywhere: what an episode leaves behind, the arm
itself has to clear up. When the reset asks for a person, one is counted, and puts the world to the
start of the next seed.
"""

from __future__ import annotations

import json
import sys
import time
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Literal, get_args

from vla_rl_nodes.bench.machine import machine
from vla_rl_nodes.bench.people.reset_loop import LivingWorld
from vla_rl_nodes.chunking.opening import Opener, Setup
from vla_rl_nodes.episodes.reset.seen import Phase
from vla_rl_nodes.episodes.reset.settings import Mode, ResetSettings
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.resources import resource
from vla_rl_nodes.sim.actors import Actor, ExpertActor
from vla_rl_nodes.sim.chunked import ChunkActor
from vla_rl_nodes.sim.rollout import Rollout

TASK = "franka_pick"
Acting = Literal["policy", "expert"]


@dataclass
class Unattended:
    """What an unattended run came to; times in simulated s where not said otherwise.

    Attributes:
        episodes: that were run.
        unattended: of these, whose start was reached without a person.
        successes: of the episodes.
        resets: of which each ended in a start or asked a person.
        asked: resets that asked a person.
        attempts: of all resets.
        reasons: for asking, and how often.
        resets_per_failure: None while no reset failed.
        minutes: of simulated time in all.
        longest_min: the longest simulated time without a person.
        reset_s: mean duration of a reset.
        put_back: resets in which the object was moved.
        commands: that reached the controllers.
        bypasses: of these that were no output of the filter's.
        leaps: how often the world was put to a start, by a person that was asked.
        wall_s: real time.
    """

    episodes: int = 0
    unattended: int = 0
    successes: int = 0
    resets: int = 0
    asked: int = 0
    attempts: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
    resets_per_failure: float | None = None
    minutes: float = 0.0
    longest_min: float = 0.0
    reset_s: float = 0.0
    put_back: int = 0
    commands: int = 0
    bypasses: int = 0
    leaps: int = 0
    wall_s: float = 0.0


def run_unattended(
    episodes: int,
    seed: int,
    acting: Acting = "policy",
    settings: ResetSettings | None = None,
    progress: Callable[[Unattended], None] = lambda so_far: None,
) -> Unattended:
    """Runs episodes; the start of each is made by the reset, from its seed.

    Args:
        episodes: how many.
        seed: of the first; each has the next one.
        acting: the shipped policy, looking through the cameras, or the scripted expert.
        settings: of the resets.
        progress: told after each episode.

    Raises:
        InputError: the policy cannot be opened.
    """
    result, began, reset_s = Unattended(), time.monotonic(), 0.0
    reasons: Counter[str] = Counter()
    opener = Opener(Setup(TASK))
    with Rollout(opener.contract, cameras=acting == "policy") as rollout:
        actor: Actor
        if acting == "policy":
            strategy = opener.open(opener.verify(resource(f"config/policies/{TASK}")))
            actor = ChunkActor(opener.contract, opener.settings, strategy)
        else:
            actor = ExpertActor(opener.contract, target=rollout.task.object)
        world = LivingWorld(rollout, seed, settings or ResetSettings(), TASK)
        for number in range(episodes):
            run = world.reset(Mode.START, seed + number)
            reset_s += run.seconds
            result.resets += 1
            result.attempts += run.progress.attempt
            result.put_back += len(run.progress.plans) > 1
            if run.progress.phase is Phase.DONE:
                result.unattended += 1
            else:
                reasons[run.progress.reason] += 1
                world.helped(seed + number)
            try:
                result.successes += world.episode(actor, seed + number)
            except InputError as error:
                reasons[f"the episode did not begin: {error.problem}"] += 1
            result.episodes += 1
            result.reasons, result.asked = dict(reasons), world.totals.asked
            result.resets_per_failure = world.totals.per_failure
            result.minutes = world.seconds / 60.0
            result.longest_min = max(
                world.totals.longest_s, world.totals.unattended_s(world.seconds)
            ) / 60.0  # fmt: skip
            result.reset_s = reset_s / result.resets
            result.commands, result.bypasses = world.ledger.commands, world.ledger.bypasses
            result.leaps, result.wall_s = world.ledger.leaps, time.monotonic() - began
            progress(result)
    return result


def main(arguments: list[str] | None = None) -> int:
    """``python -m vla_rl_nodes.bench.people.unattended``."""
    parser = ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--episodes", type=int, default=300, help="how many (300)")
    parser.add_argument("--seed", type=int, default=0, help="of the first episode (0)")
    parser.add_argument("--actor", choices=get_args(Acting), default="policy", help="who acts")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    given = parser.parse_args(arguments)

    def tell(so_far: Unattended) -> None:
        if sys.stderr.isatty() or so_far.episodes % 10 == 0:
            print(
                f"\r{so_far.episodes} of {given.episodes} episodes, {so_far.unattended} without a"
                f" person, {so_far.successes} succeeded", end="", file=sys.stderr, flush=True,
            )  # fmt: skip

    try:
        result = run_unattended(given.episodes, given.seed, given.actor, progress=tell)
    except InputError as error:
        print(f"[ERROR] {error}", file=sys.stderr)
        return 2
    print(file=sys.stderr)
    found = {**asdict(result), "actor": given.actor, "seed": given.seed, "machine": machine()}
    print(json.dumps(found, indent=None if given.json else 1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
