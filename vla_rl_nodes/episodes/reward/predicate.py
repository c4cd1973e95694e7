"""Judges that need no model: a scripted rule on the simulator's state, and the price of time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.episodes.reward.judge import Judge, Look
from vla_rl_nodes.episodes.reward.verdict import Verdict


class RuleStatus(Protocol):
    """What a rule says at one time."""

    @property
    def success(self) -> bool:
        """Whether the task is done; stays true until the rule is reset."""

    @property
    def reward(self) -> float:
        """Of this moment."""


class StateRule(Protocol):
    """A rule on named scalars, such as :class:`vla_rl_nodes.sim.task.LiftPredicate`."""

    def reset(self) -> None:
        """Forgets everything, for a new episode."""

    def observe(
        self, time_s: float, names: Sequence[str], values: Sequence[float] | NDArray[np.float64]
    ) -> RuleStatus:
        """One more sample; times never go back.

        Raises:
            InputError: a value is missing or not finite, or time went back.
        """


class Predicate(Judge):
    """Verdicts of a rule on ``sim/state``. It knows, so its confidence is 1.

    Args:
        rule: decides.
    """

    sees = "state"
    inline = True

    def __init__(self, rule: StateRule) -> None:
        super().__init__("sim/predicate", ())
        self._rule = rule
        self._first_ns = 0

    def judge(self, look: Look) -> Verdict:
        """The verdict with one more sample of the named state.

        Raises:
            InputError: see :class:`StateRule`.
        """
        if look.whose != self._whose:
            # Counted from the first sample: a float of seconds since 1970 is 0.2 us coarse.
            self._first_ns = look.stamp_ns
        return super().judge(look)

    def forget(self) -> None:
        """Forgets everything, for a new episode."""
        self._rule.reset()

    def _verdict(self, look: Look) -> Verdict:
        seconds = (look.stamp_ns - self._first_ns) / 1e9
        status = self._rule.observe(seconds, look.names, look.values)
        return Verdict(look.stamp_ns, self.source, status.reward, status.success, 1.0)


class TimePenalty(Judge):
    """The same negative reward for every step.

    Args:
        per_step: what a step costs, 0 or more.
    """

    sees = "tick"
    inline = True

    def __init__(self, per_step: float) -> None:
        super().__init__("time_penalty", ())
        self.per_step = per_step

    def _verdict(self, look: Look) -> Verdict:
        return Verdict(look.stamp_ns, self.source, -self.per_step)
