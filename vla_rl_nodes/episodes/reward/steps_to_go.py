"""Reward from the steps that remain (Self-Improving Embodied Foundation Models, 2509.15155).

The reward between two looks is d(o_t) - d(o_t+1), where d is the number of control ticks that the
model expects to remain. Over an episode the rewards add up to d(first) - d(last), whatever lay
between, so that going back and forth earns nothing.
"""

from __future__ import annotations

import math

from vla_rl_nodes.episodes.reward.folder import RewardModel
from vla_rl_nodes.episodes.reward.graph import RewardGraph
from vla_rl_nodes.episodes.reward.judge import Judge, Look
from vla_rl_nodes.episodes.reward.shaping import shaping
from vla_rl_nodes.episodes.reward.success_rule import Consecutive
from vla_rl_nodes.episodes.reward.verdict import Verdict
from vla_rl_nodes.errors import InputError


class StepsToGo(Judge):
    """Reward, success, progress and the steps themselves from one forecast.

    Args:
        model: a verified ``steps_to_go``.
        success_steps: a look with at most so many ticks to go is a positive.
        rule: of how many positives in a row make a success.

    Raises:
        InputError: see :class:`RewardGraph`.
    """

    adds = True

    def __init__(self, model: RewardModel, success_steps: float, rule: Consecutive) -> None:
        graph = RewardGraph(model)
        super().__init__(graph.source, graph.streams)
        assert model.manifest.steps_max is not None
        self._graph, self._rule = graph, rule
        self._success_steps, self._steps_max = success_steps, model.manifest.steps_max
        self._last: float | None = None

    def forget(self) -> None:
        """The next look is the first one: it earns nothing."""
        self._rule.reset()
        self._last = None

    def _verdict(self, look: Look) -> Verdict:
        output = self._graph.run(look.observation)
        steps, spread = max(float(output["steps"]), 0.0), float(output["spread"])
        if spread < 0.0:
            raise InputError(self.source, f"gives spread {spread:g}", "train it again")
        # Minus the steps is the value of a look: gamma 1, so that the sum telescopes.
        reward = 0.0 if self._last is None else shaping(1.0, -self._last, -steps)
        self._last = steps
        return Verdict(
            look.stamp_ns,
            self.source,
            reward,
            self._rule.observe(look.stamp_ns, steps <= self._success_steps),
            _at_most(self._success_steps, steps, spread),
            max(1.0 - steps / self._steps_max, 0.0),
            steps,
            max(1.0 - spread / self._steps_max, 0.0),
        )


def _at_most(limit: float, mean: float, spread: float) -> float:
    """Probability that a normal number with this mean and spread is at most ``limit``."""
    if spread == 0.0:
        return 1.0 if mean <= limit else 0.0
    return 0.5 * (1.0 + math.erf((limit - mean) / (spread * math.sqrt(2.0))))
