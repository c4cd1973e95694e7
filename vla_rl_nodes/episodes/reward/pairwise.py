"""Progress from comparing each look with the last one (VLAC, 2509.15937)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from vla_rl_nodes.episodes.reward.folder import RewardModel
from vla_rl_nodes.episodes.reward.graph import RewardGraph
from vla_rl_nodes.episodes.reward.judge import Judge, Look
from vla_rl_nodes.episodes.reward.progress_value import next_value
from vla_rl_nodes.episodes.reward.verdict import Verdict
from vla_rl_nodes.errors import InputError


class PairwiseProgress(Judge):
    """The reward is by how much progress grew, so that the rewards add up to the progress.

    A look that could not be judged is left out: the next one is compared with the last judged.

    Args:
        model: a verified ``pairwise_progress``.

    Raises:
        InputError: see :class:`RewardGraph`.
    """

    adds = True

    def __init__(self, model: RewardModel) -> None:
        graph = RewardGraph(model)
        super().__init__(graph.source, graph.streams)
        self._graph = graph
        self.forget()

    def forget(self) -> None:
        """Progress starts at 0 with the next look."""
        self._before: Mapping[str, NDArray[Any]] | None = None
        self._value = 0.0

    def _verdict(self, look: Look) -> Verdict:
        last = self._value
        if self._before is not None:
            pair = {f"before/{key}": self._before[key] for key in self.streams}
            pair |= {f"after/{key}": look.observation[key] for key in self.streams}
            critic = float(self._graph.run(pair)["critic"])
            if not -100.0 <= critic <= 100.0:
                raise InputError(self.source, f"gives critic {critic:g}", "give -100 to 100")
            self._value = next_value(last, critic)
        self._before = look.observation
        gained = (self._value - last) / 100.0
        return Verdict(look.stamp_ns, self.source, gained, progress=self._value / 100.0)
