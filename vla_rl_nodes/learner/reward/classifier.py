"""Success from single frames, as HIL-SERL trains it (arXiv 2410.21845), on our small encoder."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.learner.optimise import Progress, fit
from vla_rl_nodes.learner.reward.episodes import LabelledEpisode
from vla_rl_nodes.learner.reward.frames import Frames, Told
from vla_rl_nodes.learner.reward.judges import Classifier, Observer
from vla_rl_nodes.learner.reward.metrics import auc_by_episode
from vla_rl_nodes.learner.reward.recipe import ClassifierRecipe
from vla_rl_nodes.learner.reward.threshold import (
    Judged,
    choose_threshold,
    detections,
    first_detection,
)

NEGATIVE, POSITIVE, LEFT_OUT = 0, 1, -1
_BATCH = 256


def targets(told: Told | LabelledEpisode, recipe: ClassifierRecipe) -> NDArray[np.int8]:
    """Of each observation, whether it shows success: 1, 0, or -1 where nobody can say, [T+1].

    A sidecar's word counts. Without one the last frames of a success are positives, those shortly
    before them are left out, and all others, and all of other episodes, are negatives.
    """
    count, hz = told.observations, told.header.policy_hz
    result = np.full(count, NEGATIVE, dtype=np.int8)
    if told.success:
        if told.reached is not None:
            positive = np.asarray(told.reached)
        else:
            positive = np.arange(count) >= count - 1 - round(recipe.positive_s * hz)
        result[positive] = POSITIVE
        start = int(np.flatnonzero(positive)[0])
        before = max(0, start - round(recipe.margin_s * hz))
        result[before:start] = LEFT_OUT
    result[~np.asarray(told.usable)] = LEFT_OUT
    return result


def train_classifier(
    frames: Frames,
    contract: Contract,
    recipe: ClassifierRecipe,
    generator: torch.Generator,
    progress: Progress,
) -> Classifier:
    """Cross-entropy on batches that are half positives and half negatives.

    Raises:
        InputError: the episodes hold no positive or no negative, or the loss is not finite.
    """
    labels = torch.from_numpy(np.concatenate([targets(told, recipe) for told in frames.told]))
    kinds = [torch.nonzero(labels == kind)[:, 0] for kind in (POSITIVE, NEGATIVE)]
    for rows, name in zip(kinds, ("success", "failure"), strict=True):
        if not len(rows):
            raise InputError("replay", f"shows no {name}", "label episodes of both outcomes")
    module = Classifier(Observer(contract, frames, recipe.network), recipe.network.width)
    half = max(1, recipe.stage.batch // 2)
    target = torch.cat([torch.ones(half), torch.zeros(half)])

    def loss() -> Tensor:
        rows = torch.cat(
            [r[torch.randint(0, len(r), (half,), generator=generator)] for r in kinds]
        )
        logits = module.logits(frames.batch(rows, recipe.augmentation, generator))
        return nn.functional.binary_cross_entropy_with_logits(logits, target)

    average = fit("classifier", module, loss, recipe.stage, progress)
    assert isinstance(average, Classifier)
    return average


def probabilities(model: Classifier, episode: LabelledEpisode) -> NDArray[np.float64]:
    """Of each observation of an episode, [T+1]."""
    streams = {key: torch.from_numpy(values) for key, values in episode.streams.items()}
    with torch.no_grad():
        parts = [
            model({key: values[rows] for key, values in streams.items()})
            for rows in torch.split(torch.arange(episode.observations), _BATCH)
        ]
    return torch.cat(parts).numpy().astype(np.float64)


def judged(
    model: Classifier, episodes: Iterable[LabelledEpisode], recipe: ClassifierRecipe
) -> tuple[list[Judged], list[NDArray[np.int8]]]:
    """What a model says of episodes, and the targets of their frames."""
    said, labels = [], []
    for episode in episodes:
        target = targets(episode, recipe)
        claimable = np.flatnonzero(target != NEGATIVE) if episode.success else np.array([], int)
        said.append(
            Judged(
                probability=probabilities(model, episode),
                reached=int(claimable[0]) if len(claimable) else episode.observations,
                success=episode.success,
            )
        )
        labels.append(target)
    return said, labels


def classifier_figures(
    said: Sequence[Judged],
    labels: Sequence[NDArray[np.int8]],
    threshold: float,
    recipe: ClassifierRecipe,
    hz: int,
    seed: int,
) -> dict[str, float]:
    """What is reported of held-out episodes.

    Returns:
        The area under the curve over frames with its interval over episodes; false successes an
        hour with their upper bound and the hours; the successes that were never claimed; and
        ``delay_s``: from the first positive frame to the claim, the mean of those claimed.
    """
    target = np.concatenate(list(labels))
    score = np.concatenate([episode.probability for episode in said])
    episode = np.repeat(np.arange(len(said)), [len(one) for one in labels])
    known = target != LEFT_OUT
    area = auc_by_episode(score[known], target[known] == POSITIVE, episode[known], seed)
    return {
        "auc": area.value,
        "auc_low": area.low,
        "auc_high": area.high,
        **_claims(said, labels, threshold, recipe.consecutive, hz),
        "successes": float(sum(episode.success for episode in said)),
        "held_out_episodes": float(len(said)),
        "consecutive": float(recipe.consecutive),
    }


def compared_figures(
    validated: Sequence[Judged],
    said: Sequence[Judged],
    labels: Sequence[NDArray[np.int8]],
    recipe: ClassifierRecipe,
    hz: int,
) -> dict[str, float]:
    """What each of ``recipe.compared`` would have given in the same held-out episodes.

    Args:
        validated: episodes that the judging models did not learn, to choose thresholds with.
        said: see :func:`judged`, of the held-out episodes; so are ``labels``.
        labels: the targets of their frames.
        recipe: names the counts, and the rule of the threshold.
        hz: control ticks a second.

    Returns:
        As :func:`classifier_figures` says it of claims, and the threshold:
        ``in_a_row_8_missed``. A count for which no threshold keeps the rule is left out.
    """
    figures: dict[str, float] = {}
    for count in recipe.compared:
        try:
            other = recipe.model_copy(update={"consecutive": count})
            threshold = choose_threshold(validated, other, hz)
        except InputError:
            continue
        found = {"threshold": threshold, **_claims(said, labels, threshold, count, hz)}
        figures |= {f"in_a_row_{count}_{name}": value for name, value in found.items()}
    return figures


def _claims(
    said: Sequence[Judged],
    labels: Sequence[NDArray[np.int8]],
    threshold: float,
    consecutive: int,
    hz: int,
) -> dict[str, float]:
    counted = detections(said, threshold, consecutive, hz)
    figures = {
        "false_successes": float(counted.false),
        "false_success_per_hour": counted.per_hour,
        "false_success_per_hour_high": counted.most_per_hour,
        "hours": counted.hours,
        "missed": float(counted.missed),
    }
    late = []
    for episode, target in zip(said, labels, strict=True):
        at = first_detection(episode.probability, threshold, consecutive)
        if episode.reached <= at < len(target):
            late.append(at - int(np.argmax(target == POSITIVE)))
    if late:
        figures["delay_s"] = float(np.mean(late)) / hz
    return figures
