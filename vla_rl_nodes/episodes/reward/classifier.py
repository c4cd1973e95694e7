"""A success classifier: the probability that the task is done in this picture."""

from __future__ import annotations

from vla_rl_nodes.episodes.reward.folder import RewardModel
from vla_rl_nodes.episodes.reward.graph import RewardGraph
from vla_rl_nodes.episodes.reward.judge import Judge, Look
from vla_rl_nodes.episodes.reward.success_rule import Consecutive
from vla_rl_nodes.episodes.reward.verdict import Verdict


class Classifier(Judge):
    """Reward 1 from success on, 0 before; the threshold is the manifest's.

    Args:
        model: a verified ``success_classifier``.
        rule: of how many positives in a row make a success.

    Raises:
        InputError: see :class:`RewardGraph`.
    """

    def __init__(self, model: RewardModel, rule: Consecutive) -> None:
        graph = RewardGraph(model)
        super().__init__(graph.source, graph.streams)
        assert model.manifest.threshold is not None
        self._graph, self._rule, self._threshold = graph, rule, model.manifest.threshold

    def forget(self) -> None:
        """Starts the count anew."""
        self._rule.reset()

    def _verdict(self, look: Look) -> Verdict:
        probability = float(self._graph.run(look.observation)["probability"])
        verdict = Verdict(look.stamp_ns, self.source, confidence=probability)  # checks its range
        success = self._rule.observe(look.stamp_ns, probability >= self._threshold)
        return Verdict(
            verdict.stamp_ns, self.source, 1.0 if success else 0.0, success, probability
        )
