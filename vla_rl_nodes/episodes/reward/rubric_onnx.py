"""The 1 to 5 rubric by a model of a verified folder."""

from __future__ import annotations

import numpy as np

from vla_rl_nodes.episodes.reward.folder import RewardModel
from vla_rl_nodes.episodes.reward.graph import RewardGraph
from vla_rl_nodes.episodes.reward.judge import Look
from vla_rl_nodes.episodes.reward.rubric import Rubric, Scale, Scored
from vla_rl_nodes.errors import InputError


class OnnxRubric(Rubric):
    """The likeliest score; a task that the model was not trained on has no answer.

    Args:
        model: a verified ``rubric5``.
        scale: what the scores are worth.

    Raises:
        InputError: see :class:`RewardGraph`.
    """

    def __init__(self, model: RewardModel, scale: Scale) -> None:
        graph = RewardGraph(model)
        manifest = model.manifest
        assert manifest.frames is not None and manifest.tasks is not None
        super().__init__(graph.source, graph.streams, manifest.frames, scale)
        self._graph, self._tasks = graph, manifest.tasks

    def _score(self, look: Look) -> Scored:
        if look.task not in self._tasks:
            raise InputError(self.source, f"was not trained on '{look.task}'", "train it on it")
        sample = {f"frames/{key}": look.frames[key] for key in self.streams}
        task = np.array(self._tasks.index(look.task), np.int64)
        scores = self._graph.run({**sample, "task": task})["scores"].astype(np.float64)
        shares = np.exp(scores - scores.max())
        shares /= shares.sum()
        success = min(float(shares[self.scale.success_from - 1 :].sum()), 1.0)
        return Scored(int(np.argmax(scores)) + 1, confidence=success)
