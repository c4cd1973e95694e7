"""Scores of 1 to 5 for an episode and a task, with made-up negatives (RoboReward,
arXiv 2601.00675), on a frame encoder, a recurrent layer and the task's number.

Recorded data are mostly successes. Two kinds of failures are made from them: the same frames with
another task's text, of which nothing was done, and the frames without their end.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.learner.optimise import Progress, fit
from vla_rl_nodes.learner.reward.episodes import LabelledEpisode
from vla_rl_nodes.learner.reward.frames import Frames, Told
from vla_rl_nodes.learner.reward.judges import SCORES, Observer, Rubric
from vla_rl_nodes.learner.reward.metrics import auc_by_episode
from vla_rl_nodes.learner.reward.pairwise import progress_of
from vla_rl_nodes.learner.reward.recipe import RubricRecipe


def score_at(told: Told | LabelledEpisode, last: int) -> int | None:
    """The score of an episode that ends with observation ``last``, 1 to 5.

    5 for a whole success; what is not complete has 1 to 4 by quarters of its progress. None where
    the progress is not known.
    """
    if told.success and last == told.observations - 1:
        return SCORES
    done = float(progress_of(told)[last])
    if np.isnan(done):
        return None
    return 1 + min(int(done / 100.0 * (SCORES - 1)), SCORES - 2)


def film(last: int, frames: int) -> Tensor:
    """Which observations are shown of an episode that ends with ``last``, int64 [frames].

    Evenly, the first and the last among them, as ``episodes.reward.film.Film`` takes them.
    """
    return torch.from_numpy(np.linspace(last, 0, frames).round()[::-1].astype(np.int64))


def task_rows(told: Sequence[Told | LabelledEpisode], recipe: RubricRecipe) -> list[int]:
    """Each episode's row in the recipe's tasks.

    Raises:
        InputError: one has a task that is not among them.
    """
    for episode in told:
        if episode.header.task not in recipe.tasks:
            raise InputError(
                f"episode {episode.header.episode_id}",
                f"has the task '{episode.header.task}'",
                "name it in the recipe's tasks",
            )
    return [recipe.tasks.index(episode.header.task) for episode in told]


def train_rubric(
    frames: Frames,
    contract: Contract,
    recipe: RubricRecipe,
    generator: torch.Generator,
    progress: Progress,
) -> Rubric:
    """Trains on episodes that end as they did, and on those made from successes.

    Raises:
        InputError: no episode has a score, a task is unknown, there is no other task to show a
            success under, or the loss is not finite.
    """
    rows = task_rows(frames.told, recipe)
    whole = [(i, score_at(t, t.observations - 1)) for i, t in enumerate(frames.told)]
    scored = [(index, score) for index, score in whole if score is not None]
    done = [index for index, told in enumerate(frames.told) if told.success]
    if not done:
        raise InputError("replay", "shows no success", "label episodes that succeed")
    if recipe.relabelled and len(recipe.tasks) < 2:
        raise InputError("recipe", "has one task and relabels", "name more tasks")
    module = Rubric(
        Observer(contract, frames, recipe.network),
        recipe.network.width,
        recipe.memory,
        len(recipe.tasks),
    )

    def pick(count: int) -> int:
        return int(torch.randint(0, count, (1,), generator=generator))

    def example() -> tuple[int, int, int, int]:
        """Episode, its last observation, the task's row and the score."""
        kind = float(torch.rand(1, generator=generator))
        if kind < recipe.relabelled:
            index = done[pick(len(done))]
            other = (rows[index] + 1 + pick(len(recipe.tasks) - 1)) % len(recipe.tasks)
            return index, frames.told[index].observations - 1, other, 1
        if kind < recipe.relabelled + recipe.clipped:
            index = done[pick(len(done))]
            end = frames.told[index].observations - 1
            last = pick(max(1, round((1.0 - recipe.least_cut) * end)))
            score = score_at(frames.told[index], last)
            assert score is not None  # a success has progress
            return index, last, rows[index], score
        index, score = scored[pick(len(scored))]
        return index, frames.told[index].observations - 1, rows[index], score

    def loss() -> Tensor:
        examples = [example() for _ in range(recipe.stage.batch)]
        shown = [frames.first[index] + film(last, recipe.frames) for index, last, _, _ in examples]
        batch = frames.batch(torch.cat(shown), recipe.augmentation, generator)
        films = {
            key: value.reshape(len(examples), recipe.frames, *value.shape[1:])
            for key, value in batch.items()
        }
        given = module(films, torch.tensor([task for _, _, task, _ in examples]))
        wanted = torch.tensor([score - 1 for _, _, _, score in examples])
        return nn.functional.cross_entropy(given, wanted)

    average = fit("rubric", module, loss, recipe.stage, progress)
    assert isinstance(average, Rubric)
    return average


def scores_of(model: Rubric, episode: LabelledEpisode, task: int, frames: int) -> Tensor:
    """Probabilities [5] of the scores of a whole episode under a task."""
    rows = film(episode.observations - 1, frames)
    shown = {key: torch.from_numpy(value)[rows][None] for key, value in episode.streams.items()}
    with torch.no_grad():
        logits: Tensor = model(shown, torch.tensor([task]))[0]
    return logits.softmax(0)


def rubric_figures(
    model: Rubric, episodes: Iterable[LabelledEpisode], recipe: RubricRecipe, seed: int
) -> dict[str, float]:
    """What is reported of held-out episodes.

    Every success is also shown under another task, of which nothing was done: a robot that does
    something else than it was told.

    Returns:
        ``mae``: mean absolute error of the likeliest score, over the episodes as they are, in
        levels; ``mae_other_task``: of those under another task; ``auc`` with its interval: of the
        probability of 5, for telling successes from all others; ``auc_own_task``: without those
        under another task.
    """
    errors, elsewhere, chance, success, index, own = [], [], [], [], [], []
    for position, episode in enumerate(episodes):
        (row,) = task_rows([episode], recipe)
        shares = scores_of(model, episode, row, recipe.frames)
        truth = score_at(episode, episode.observations - 1)
        if truth is not None:
            errors.append(abs(int(shares.argmax()) + 1 - truth))
        chance.append(float(shares[-1]))
        success.append(episode.success)
        index.append(position)
        own.append(True)
        if episode.success and len(recipe.tasks) > 1:
            other = (row + 1) % len(recipe.tasks)
            shares = scores_of(model, episode, other, recipe.frames)
            elsewhere.append(int(shares.argmax()))
            chance.append(float(shares[-1]))
            success.append(False)
            index.append(position)
            own.append(False)
    score, right = np.array(chance), np.array(success)
    group, mine = np.array(index), np.array(own)
    area = auc_by_episode(score, right, group, seed)
    plain = auc_by_episode(score[mine], right[mine], group[mine], seed)
    return {
        "mae": float(np.mean(errors)),
        "mae_other_task": float(np.mean(elsewhere)) if elsewhere else 0.0,
        "auc": area.value,
        "auc_low": area.low,
        "auc_high": area.high,
        "auc_own_task": plain.value,
        "episodes": float(sum(own)),
    }
