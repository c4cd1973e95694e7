"""The judges that a configuration names, each made and tried."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.episodes.reward.classifier import Classifier
from vla_rl_nodes.episodes.reward.folder import RewardModel, load_reward_model
from vla_rl_nodes.episodes.reward.judge import Judge
from vla_rl_nodes.episodes.reward.manifest import Kind
from vla_rl_nodes.episodes.reward.pairwise import PairwiseProgress
from vla_rl_nodes.episodes.reward.predicate import Predicate, StateRule, TimePenalty
from vla_rl_nodes.episodes.reward.rubric import Scale
from vla_rl_nodes.episodes.reward.rubric_http import HttpRubric
from vla_rl_nodes.episodes.reward.rubric_onnx import OnnxRubric
from vla_rl_nodes.episodes.reward.spec import (
    Backend,
    ClassifierSpec,
    PairwiseSpec,
    PredicateSpec,
    Rewards,
    RubricSpec,
    StepsToGoSpec,
    TimePenaltySpec,
)
from vla_rl_nodes.episodes.reward.steps_to_go import StepsToGo
from vla_rl_nodes.episodes.reward.success_rule import Consecutive
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.resources import resource

MODELS = "config/reward_models"


@dataclass(frozen=True)
class Trust:
    """Whose models are taken: public key files; and whether unsigned ones are, on a bench."""

    keys: Sequence[Path]
    allow_unsigned: bool = False


def make_judges(
    place: object,
    config: Rewards,
    contract: Contract,
    trust: Trust,
    state_rule: Callable[[str | None], StateRule],
) -> dict[str, Judge]:
    """The judges by their names.

    Args:
        place: of the YAML file, for the errors.
        config: what it says.
        contract: what this robot runs.
        trust: whose models are taken.
        state_rule: the scripted rule of a scene, given its name or None for the contract's own.

    Raises:
        InputError: a model is missing, not trusted, of another kind or contract, or fails in its
            trial; an address is not acceptable; a scene has no task.
    """
    return {
        name: _make(f"{place}: backends.{name}", backend, contract, trust, state_rule)
        for name, backend in config.backends.items()
    }


def model_folder(name_or_path: str) -> Path:
    """``config/reward_models/<name>``, or the path itself when one is given.

    Raises:
        InputError: no shipped model has that name.
    """
    if "/" in name_or_path:
        return Path(name_or_path).expanduser()
    return resource(f"{MODELS}/{name_or_path}")


def _make(
    place: str,
    spec: Backend,
    contract: Contract,
    trust: Trust,
    state_rule: Callable[[str | None], StateRule],
) -> Judge:
    def model(name: str, kind: Kind) -> RewardModel:
        folder = model_folder(name)
        loaded = load_reward_model(folder, contract, trust.keys, trust.allow_unsigned)
        if loaded.manifest.kind != kind:
            raise InputError(f"{place}.model", f"is a {loaded.manifest.kind}", f"name a {kind}")
        return loaded

    match spec:
        case PredicateSpec():
            return Predicate(state_rule(spec.scene))
        case TimePenaltySpec():
            return TimePenalty(spec.per_step)
        case ClassifierSpec():
            rule = Consecutive(spec.consecutive, spec.greatest_gap_s)
            return Classifier(model(spec.model, "success_classifier"), rule)
        case StepsToGoSpec():
            rule = Consecutive(spec.consecutive, spec.greatest_gap_s)
            return StepsToGo(model(spec.model, "steps_to_go"), spec.success_steps, rule)
        case PairwiseSpec():
            return PairwiseProgress(model(spec.model, "pairwise_progress"))
        case RubricSpec():
            scale = Scale(tuple(spec.rewards), spec.success_from)
            if spec.model is not None:
                return OnnxRubric(model(spec.model, "rubric5"), scale)
            cameras = [s.key for s in contract.streams if s.kind == "image"]
            if spec.camera not in cameras:
                raise InputError(
                    f"{place}.camera", f"is none of {', '.join(cameras)}", "name a camera stream"
                )
            assert spec.server is not None and spec.frames is not None
            return HttpRubric(place, spec.server, spec.camera, spec.frames, scale)
