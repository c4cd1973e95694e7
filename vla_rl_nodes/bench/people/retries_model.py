"""A model of steps to go from images, trained here on episodes that succeed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from vla_rl_nodes.bench.people.labelled_episodes import LabelledEpisodes
from vla_rl_nodes.bench.people.retries_signals import TrainedModel
from vla_rl_nodes.contract.load import load_yaml, named_file
from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.episodes.reward.folder import load_reward_model
from vla_rl_nodes.episodes.reward.spec import Rewards, StepsToGoSpec
from vla_rl_nodes.episodes.reward.steps_to_go import StepsToGo
from vla_rl_nodes.episodes.reward.success_rule import Consecutive
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.policy.signing import create_key, load_key, public_path
from vla_rl_nodes.replay.folder import write_episode

KIND = "steps_to_go"
TRAINED, HELD_OUT = 60, 20
WHO = ("expert", "disturbed", "policy")  # by turns; all of them succeed
_FIRST_TRAINED, _FIRST_HELD_OUT = 9_800_000, 9_900_000

Shown = Callable[[str, int, int], None]


def train_model(
    folder: Path, contract: Contract, shown: Shown
) -> tuple[TrainedModel, dict[str, Any]]:
    """Episodes that succeed, then the recipe ``steps_to_go``, as ``vla-rl learner reward`` does.

    The same episodes and seed whatever is measured with the model: its failures are not drawn
    anew with each measurement.

    Args:
        folder: for episodes, key and model; what is there already is taken.
        contract: of the task.
        shown: told what is made, how much is and how much will be.

    Returns:
        The signal, and the model's figures on episodes that it was not trained on.

    Raises:
        InputError: torch is not installed, or see learner.reward.train.
    """
    out, pem = folder / "model", folder / "bench.pem"
    if not out.is_dir():
        try:
            from vla_rl_nodes.learner.reward.recipe import load_reward_recipe
            from vla_rl_nodes.learner.reward.train import train_reward
        except ImportError as error:
            raise InputError(
                "learner", f"{error.name} is not installed", "install the [learner] extra"
            ) from error
        trained = _episodes(folder / "train", _FIRST_TRAINED, TRAINED, shown)
        others = _episodes(folder / "held_out", _FIRST_HELD_OUT, HELD_OUT, shown)
        create_key(pem)
        train_reward(
            trained, others, contract, load_reward_recipe(KIND, KIND), out, 0, load_key(pem),
            lambda stage, done, steps, _loss: shown(stage, done, steps),
        )  # fmt: skip
    model = load_reward_model(out, contract, [public_path(pem)])
    spec = load_yaml(named_file("rewards", KIND), Rewards).backends["remaining"]
    assert isinstance(spec, StepsToGoSpec)
    rule = Consecutive(spec.consecutive, spec.greatest_gap_s)
    judge = StepsToGo(model, spec.success_steps, rule)
    return TrainedModel(judge, contract.task), dict(model.manifest.figures)


def _episodes(folder: Path, first_seed: int, count: int, shown: Shown) -> Path:
    with LabelledEpisodes() as maker:
        for index in range(count):
            write_episode(maker.make(first_seed + index, WHO[index % len(WHO)]), folder)
            shown(folder.name, index + 1, count)
    return folder
