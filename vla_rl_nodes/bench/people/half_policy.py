"""A policy that is half trained: made here, signed with a key of its own, and tried alone.

Its demonstrator moves at half the pace of the shipped policy's: nobody could step in where a
policy comes down on the object with 0.2 m/s, and the force of that stops the arm for good.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from vla_rl_nodes.chunking.opening import Opener, Setup
from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.policy.signing import create_key, load_key
from vla_rl_nodes.replay.folder import write_episode
from vla_rl_nodes.sim.actors import Actor, ExpertActor
from vla_rl_nodes.sim.chunked import ChunkActor
from vla_rl_nodes.sim.collect import collect
from vla_rl_nodes.sim.expert import Expert, ExpertSettings
from vla_rl_nodes.sim.rollout import Episode, Rollout

RECIPE = "franka_pick_half"
DEMONSTRATIONS = 20
FIRST_SEED = 2_000_000  # of the demonstrations: no episode of a bench starts like one of them
TRAINING_SEED = 0
KEY = "half.pem"
PACE = ExpertSettings(cruise=0.005, gain=0.2, yaw_cruise=0.04)  # each about half of its own

# Told a stage and how much of it is done, from 0 to 1.
Tell = Callable[[str, float], None]


@dataclass(frozen=True)
class HalfPolicy:
    """A bundle's folder and the folder of the public key that it is signed with."""

    bundle: Path
    keys: Path


@dataclass(frozen=True)
class Alone:
    """What a policy does without anybody's help.

    Attributes:
        version: of the policy.
        first_seed: of the episodes.
        successes: by episode, in the order of the seeds.
        frozen: by episode, whether the filter had stopped the arm for good when it ended.
    """

    version: str
    first_seed: int
    successes: tuple[bool, ...]
    frozen: tuple[bool, ...]


class _CarefulRollout(Rollout):
    """A rollout in which the expert demonstrates slowly, and is disturbed as ever."""

    def run(self, seed: int, actor: Actor) -> Episode:
        """One episode; whoever else is asked for."""
        careful = ExpertActor(self.contract, True, Expert(PACE), self.task.object)
        return super().run(seed, careful)


def half_trained(folder: Path, contract_path: Path, tell: Tell) -> HalfPolicy:
    """The policy in a folder; made when it is not there: demonstrations without ROS in simulated
    time, then the recipe ``franka_pick_half``.

    The same seeds, recipe and machine give the same policy; only its signature is another one.

    Args:
        folder: of bundle, demonstrations and keys; made when it does not exist.
        contract_path: the contract with enough time for a slow demonstration.
        tell: told how far it is.

    Raises:
        InputError: it has to be trained and torch is not installed, or see learner.train.
    """
    made = HalfPolicy(folder / "bundle", folder / "keys")
    if made.bundle.is_dir():
        return made
    try:
        from vla_rl_nodes.learner.recipe import load_recipe
        from vla_rl_nodes.learner.train import train
    except ImportError as error:
        raise InputError(
            made.bundle, "has to be trained, and torch is not installed",
            "install the [learner] extra, or give --bundle and --trusted-keys",
        ) from error  # fmt: skip
    contract = load_contract(contract_path)
    replay = _demonstrations(folder / "demonstrations", contract, tell)
    key = made.keys / KEY
    if not key.exists():
        create_key(key)
    train(
        replay, contract, load_recipe(RECIPE), made.bundle, TRAINING_SEED, load_key(key),
        lambda stage, step, steps, loss: tell(f"training: {stage}", step / steps),
    )  # fmt: skip
    return made


def _demonstrations(folder: Path, contract: Contract, tell: Tell) -> list[Path]:
    """Demonstrations by the disturbed expert; what is in the folder already stays."""
    found: list[Path] = []
    with _CarefulRollout(contract) as rollout:
        for index in range(DEMONSTRATIONS):
            tell("demonstrations", index / DEMONSTRATIONS)
            episode = collect(rollout, FIRST_SEED + index, perturbed=True)
            found.append(write_episode(episode, folder))
    tell("demonstrations", 1.0)
    return found


def try_alone(policy: HalfPolicy, contract_path: Path, seeds: Sequence[int], tell: Tell) -> Alone:
    """The policy's success by itself: closed loop in simulated time, one tick late as in the
    graph, with the graph's filter, rates and latencies.

    Args:
        policy: the bundle.
        contract_path: the contract with the time limit of the episodes with help.
        seeds: of the episodes, at least one.
        tell: told how far it is.

    Raises:
        InputError: the bundle is not good, or its key is not trusted.
    """
    opener = Opener(Setup(str(contract_path), trusted_keys=str(policy.keys)))
    bundle = opener.verify(policy.bundle)
    actor = ChunkActor(opener.contract, opener.settings, opener.open(bundle))
    half_a_second = opener.contract.policy_hz // 2
    successes, frozen = [], []
    with Rollout(opener.contract) as rollout:
        for number, seed in enumerate(seeds):
            tell("alone", number / len(seeds))
            episode = rollout.run(seed, actor)
            successes.append(episode.success)
            frozen.append(all(t.executed is None for t in episode.ticks[-half_a_second:]))
    tell("alone", 1.0)
    return Alone(bundle.version, seeds[0], tuple(successes), tuple(frozen))
