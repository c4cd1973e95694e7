"""The whole of a recipe: labelled episodes in, a checked and signed reward model out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.episodes.reward.folder import write_reward_model
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.learner.optimise import Progress, reproducible, silent
from vla_rl_nodes.learner.reward.classifier import (
    classifier_figures,
    compared_figures,
    judged,
    train_classifier,
)
from vla_rl_nodes.learner.reward.episodes import LabelledEpisode, LabelledEpisodes
from vla_rl_nodes.learner.reward.export import (
    export_classifier,
    export_pair_critic,
    export_rubric,
    export_steps_to_go,
)
from vla_rl_nodes.learner.reward.frames import Frames
from vla_rl_nodes.learner.reward.pairwise import pairwise_figures, train_pair_critic
from vla_rl_nodes.learner.reward.ranking import ranking_figures, train_value, values_of
from vla_rl_nodes.learner.reward.recipe import (
    AnyRecipe,
    ClassifierRecipe,
    PairwiseRecipe,
    RankingRecipe,
    RewardRecipe,
    RubricRecipe,
    StepsToGoRecipe,
)
from vla_rl_nodes.learner.reward.rubric import rubric_figures, train_rubric
from vla_rl_nodes.learner.reward.split import folds, held_out, start_of
from vla_rl_nodes.learner.reward.steps_to_go import steps_figures, train_steps_to_go
from vla_rl_nodes.learner.reward.threshold import Judged, choose_threshold, rule_of
from vla_rl_nodes.replay.sidecars import write_label

PRODUCER = "vla-rl learner reward"
Model = TypeVar("Model")
Recipe = TypeVar("Recipe", bound=RewardRecipe)


@dataclass(frozen=True)
class TrainedReward:
    """What a training has made: ``kind/name@version``, and how it did on held-out episodes."""

    source: str
    figures: dict[str, float]
    signed: bool


@dataclass(frozen=True)
class _Data:
    """What a kind's training gets."""

    contract: Contract
    episodes: LabelledEpisodes
    train: list[int]
    measured: LabelledEpisodes
    held_out: list[int]
    seed: int
    generator: torch.Generator
    progress: Progress

    def frames(self, which: Sequence[int]) -> Frames:
        return Frames.of(self.episodes.read(which))

    def unseen(self) -> Iterator[LabelledEpisode]:
        return self.measured.read(self.held_out)


@dataclass(frozen=True)
class _Made:
    model: bytes
    fields: dict[str, Any]
    figures: dict[str, float]


def train_reward(
    replay: Path,
    other: Path | None,
    contract: Contract,
    recipe: AnyRecipe,
    out: Path,
    seed: int,
    key: Ed25519PrivateKey,
    progress: Progress = silent,
) -> TrainedReward:
    """Trains, measures, exports, checks and signs a reward model.

    The same episodes, labels, recipe, seed and machine give the same bytes. A value by ranking is
    no backend of the reward node: it labels the episodes, in sidecars under ``out``.

    Args:
        replay: folder of replay folders or store, with the operator's labels.
        other: further episodes to measure with; without it some of ``replay`` are held out.
        contract: what the episodes were recorded with and the model will run on.
        recipe: every number.
        out: the model's new folder.
        seed: of every random number.
        key: signs it.
        progress: see optimise.Progress.

    Raises:
        InputError: the folder is there already, the episodes do not fit or are too few, or the
            exported graph differs from the trained one.
    """
    if not isinstance(recipe, RankingRecipe) and (out.exists() or out.is_symlink()):
        raise InputError(out, "is there already", "name a new folder")
    episodes = LabelledEpisodes(replay, contract, recipe)
    everything = list(range(len(episodes)))
    if other is None:
        train, unseen = held_out(episodes.headers, recipe.held_out_every, seed)
        measured = episodes
    else:
        measured = LabelledEpisodes(other, contract, recipe)
        train, unseen = everything, list(range(len(measured)))
        _check_apart(episodes, measured, other)
    with reproducible(seed, recipe.threads):
        generator = torch.Generator().manual_seed(seed)
        data = _Data(contract, episodes, train, measured, unseen, seed, generator, progress)
        if isinstance(recipe, RankingRecipe):
            return _label_values(data, recipe, replay, out)
        made = _made(data, recipe)
    manifest = write_reward_model(
        out,
        contract,
        made.model,
        {
            "kind": recipe.kind,
            "name": recipe.name,
            "inputs": [s.key for s in contract.streams if s.key in recipe.streams],
            "trained_on": {
                "episodes": len(train), "labels_sha256": episodes.labels_sha256(train),
            },
            "figures": made.figures,
            "stand_in": True,
            **made.fields,
        },
        key,
    )  # fmt: skip
    source = f"{manifest.kind}/{manifest.name}@{manifest.version}"
    return TrainedReward(source, made.figures, signed=True)


def _check_apart(episodes: LabelledEpisodes, measured: LabelledEpisodes, place: Path) -> None:
    """What is measured on must not have been trained on, nor start alike."""
    starts = {start_of(header) for header in episodes.headers}
    same = next((h for h in measured.headers if start_of(h) in starts), None)
    if same is not None:
        raise InputError(
            place / same.episode_id, "starts as an episode to train on", "take it from one of both"
        )


def _fitted(
    train: Callable[[Frames, Contract, Recipe, torch.Generator, Progress], Model],
    data: _Data,
    recipe: Recipe,
    which: Sequence[int],
) -> Model:
    return train(data.frames(which), data.contract, recipe, data.generator, data.progress)


def _made(data: _Data, recipe: AnyRecipe) -> _Made:
    if isinstance(recipe, ClassifierRecipe):
        return _classifier(data, recipe)
    if isinstance(recipe, StepsToGoRecipe):
        return _steps_to_go(data, recipe)
    if isinstance(recipe, PairwiseRecipe):
        return _pairwise(data, recipe)
    assert isinstance(recipe, RubricRecipe)
    return _rubric(data, recipe)


def _classifier(data: _Data, recipe: ClassifierRecipe) -> _Made:
    """Trains on all episodes; the threshold comes from models that left a fold out each."""
    hz = data.contract.policy_hz
    headers = [data.episodes.headers[index] for index in data.train]
    validated: list[Judged] = []
    for fold in folds(headers, recipe.folds, data.seed):
        left = [data.train[index] for index in range(len(headers)) if index not in fold]
        model = _fitted(train_classifier, data, recipe, left)
        out = data.episodes.read([data.train[index] for index in fold])
        validated += judged(model, out, recipe)[0]
    threshold = choose_threshold(validated, recipe, hz)
    model = _fitted(train_classifier, data, recipe, data.train)
    said, labels = judged(model, data.unseen(), recipe)
    return _Made(
        export_classifier(model, data.contract),
        {"threshold": threshold, "threshold_rule": rule_of(recipe)},
        classifier_figures(said, labels, threshold, recipe, hz, data.seed)
        | compared_figures(validated, said, labels, recipe, hz),
    )


def _steps_to_go(data: _Data, recipe: StepsToGoRecipe) -> _Made:
    model = _fitted(train_steps_to_go, data, recipe, data.train)
    return _Made(
        export_steps_to_go(model, data.contract),
        {"steps_max": model.longest},
        steps_figures(model, data.unseen(), recipe),
    )


def _pairwise(data: _Data, recipe: PairwiseRecipe) -> _Made:
    model = _fitted(train_pair_critic, data, recipe, data.train)
    return _Made(
        export_pair_critic(model, data.contract),
        {},
        pairwise_figures(model, data.unseen(), recipe, data.seed),
    )


def _rubric(data: _Data, recipe: RubricRecipe) -> _Made:
    model = _fitted(train_rubric, data, recipe, data.train)
    return _Made(
        export_rubric(model, data.contract, recipe.frames),
        {"frames": recipe.frames, "tasks": recipe.tasks},
        rubric_figures(model, data.unseen(), recipe, data.seed),
    )


def _label_values(data: _Data, recipe: RankingRecipe, replay: Path, out: Path) -> TrainedReward:
    """Labels every episode of ``replay`` with its value."""
    model = _fitted(train_value, data, recipe, data.train)
    figures = ranking_figures(model, data.unseen())
    made_from = {"labels_sha256": data.episodes.labels_sha256(data.train)}
    for episode in data.episodes.read(range(len(data.episodes))):
        write_label(
            out,
            episode.header,
            recipe.name,
            "value",
            values_of(model, episode).numpy(),
            producer=PRODUCER,
            producer_version=f"seed {data.seed}",
            made_from=made_from,
        )
    return TrainedReward(f"{recipe.kind}/{recipe.name}", figures, signed=False)
