"""Labelled episodes of the picking task, as an operator would leave them: mixed outcomes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.bags.manifest import Outcome
from vla_rl_nodes.bench.people.failing_actors import (
    Blinded,
    Drops,
    Misses,
    StartsLate,
    StopsShort,
)
from vla_rl_nodes.chunking.opening import Opener, Setup
from vla_rl_nodes.closable import Closable
from vla_rl_nodes.replay.episode import EpisodeData, array_file, content_sha256
from vla_rl_nodes.resources import resource
from vla_rl_nodes.sim.actors import Actor, ExpertActor
from vla_rl_nodes.sim.chunked import ChunkActor
from vla_rl_nodes.sim.collect import collect
from vla_rl_nodes.sim.rollout import Episode, Rollout

CONTRACT = "franka_pick"
# Who acts in which episode, over and over: half of them succeed. Where a failure is what the
# actor is for, an episode that succeeded all the same is drawn again.
MIX = (
    "expert", "stops_short", "policy", "misses", "disturbed", "drops",
    "expert", "stops_short", "policy", "starts_late", "disturbed", "blinded",
)  # fmt: skip
_SUCCEED = ("expert", "disturbed", "policy")
FAILURES = tuple(who for who in MIX if who not in _SUCCEED)
_CALLED_FAILURE = ("stops_short", "misses", "drops")  # the others run out of time
_LARGEST_SEED_STEP = 100_000
# Sidecars of successes, and how long before the task's rule they begin: an annotator sees that the
# cube is up as early as success_classifier.yaml has it of an episode that ends with success.
SIDECARS = {"success": 0.4, "done": 0.0}


class PlayedRollout(Rollout):
    """A rollout in which ``actor`` acts, whoever is asked for."""

    actor: Actor | None = None

    def run(self, seed: int, actor: Actor) -> Episode:
        """One episode; see :meth:`Rollout.run`."""
        return super().run(seed, self.actor or actor)

    def hold(self, seconds: float) -> None:
        """From the next episode on, for how long the object is held up before it ends."""
        self.task = self.task.model_copy(update={"hold_s": seconds})


class LabelledEpisodes(Closable):
    """Makes the episodes: in simulated time, by scripted actors and the shipped policy.

    Args:
        after_s: how long a success goes on once it is one: how late it is recognised, and
            whether at all, shows only then.
    """

    def __init__(self, after_s: float = 0.0) -> None:
        """Opens the simulator and the shipped policy."""
        self._after_s = after_s
        opener = Opener(Setup(CONTRACT))
        self.contract = opener.contract
        self._rollout = PlayedRollout(self.contract)
        strategy = opener.open(opener.verify(resource(f"config/policies/{CONTRACT}")))
        policy = ChunkActor(self.contract, opener.settings, strategy)
        contract, target = self.contract, self._rollout.task.object
        self._actors: Mapping[str, Callable[[], Actor]] = {
            "expert": lambda: ExpertActor(contract, target=target),
            "disturbed": lambda: ExpertActor(contract, perturbed=True, target=target),
            "policy": lambda: policy,
            "stops_short": lambda: StopsShort(contract, target),
            "misses": lambda: Misses(contract, target),
            "drops": lambda: Drops(contract, target),
            "starts_late": lambda: StartsLate(contract, target),
            "blinded": lambda: Blinded(policy, self._rollout),
        }
        self._hold_s = self._rollout.task.hold_s

    def make(self, seed: int, who: str) -> EpisodeData:
        """One episode with its outcome; the same arguments give the same bytes.

        Args:
            seed: of the scene and of the actor; a redrawn episode takes another one.
            who: one of :data:`MIX`.

        Raises:
            RuntimeError: nine draws in a row had another outcome than the actor is for.
        """
        # A failure is one by the task's own rule.
        self._rollout.hold(self._hold_s + (self._after_s if who in _SUCCEED else 0.0))
        for again in range(9):
            drawn = seed + again * _LARGEST_SEED_STEP
            episode = self.run(drawn, self._actors[who]())
            success = episode.header.outcome == "success"
            if success == (who in _SUCCEED):
                outcome: Outcome = "timeout"
                if success or who in _CALLED_FAILURE:
                    outcome = "success" if success else "failure"
                return relabelled(episode, f"{who}_{seed:06d}", outcome, who)
        raise RuntimeError(f"{who} from seed {seed}: nine draws ended otherwise")

    def mixed(self, first_seed: int, index: int) -> EpisodeData:
        """Episode ``index`` of the mix whose seeds count from ``first_seed``."""
        return self.make(first_seed + index, MIX[index % len(MIX)])

    def failing(self, first_seed: int, index: int) -> EpisodeData:
        """Likewise of the failures of the mix alone."""
        return self.make(first_seed + index, FAILURES[index % len(FAILURES)])

    def since(self, success: EpisodeData, before_s: float) -> NDArray[np.bool_]:
        """The steps of a success from so long before the task's rule calls it one, bool [T]."""
        shown = round((self._after_s + before_s) * success.header.policy_hz)
        return np.arange(success.header.steps) >= success.header.steps - shown - 1

    def run(self, seed: int, actor: Actor) -> EpisodeData:
        """One episode by any actor, with the predicate's outcome."""
        self._rollout.actor = actor
        try:
            return collect(self._rollout, seed, perturbed=False)
        finally:
            self._rollout.renderer.blackout = False

    def close(self) -> None:
        """Frees the renderer."""
        self._rollout.close()


def relabelled(
    episode: EpisodeData, episode_id: str, outcome: Outcome, actor: str, task: str | None = None
) -> EpisodeData:
    """The episode under another name, with an operator's outcome, and perhaps another task."""
    steps = episode.header.steps
    last: NDArray[np.bool_] = np.arange(steps) == steps - 1
    never = np.zeros(steps, dtype=np.bool_)
    terminal = outcome in ("success", "failure")
    transitions = replace(
        episode.transitions,
        terminated=last if terminal else never,
        truncated=never if terminal else last,
    )
    arrays = transitions.arrays()
    header = episode.header.model_copy(
        update={
            "episode_id": episode_id,
            "outcome": outcome,
            "reason": "operator" if terminal else "time limit",
            "task": episode.header.task if task is None else task,
            "policy_versions": [actor],
            "metadata": {"operator": "scripted"},
            "content_sha256": content_sha256(arrays),
            "files": {name: array_file(array) for name, array in arrays.items()},
        }
    )
    return EpisodeData(header, transitions)
