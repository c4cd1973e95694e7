"""Notices in mid-episode that the robot does not get on: Bellman-guided retrials.

To Err is Robotic (Du et al. 2024, arXiv 2406.15917) compares expected with achieved progress
through the Bellman residual of a value that counts the expert's time to the goal. With
``V = -steps_to_go`` and a reward of -1 for each step the residual of one step is
``r + V(s') - V(s)``: 0 where the step brought the robot one step nearer, -1 where it did not get
on at all, and beyond the goal nothing more is expected. Summed over a window it is minus the
number of steps by which the robot lags, and only the window's two ends are left in the sum. Each
step counts until the goal is reached, also where the forecast had it reached long ago.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

from vla_rl_nodes.episodes.retry_settings import Progress, RetrySettings, StepsToGo

_ROUNDING = 1e-6  # steps: sums of floats are not exact


def bellman_residual(steps_to_go: float, next_steps_to_go: float) -> float:
    """Residual of one step with ``V = -steps_to_go`` and r = -1, at the goal r = -steps_to_go."""
    return -min(1.0, steps_to_go) - next_steps_to_go + steps_to_go


@dataclass(frozen=True)
class Judgement:
    """How a window went.

    Attributes:
        expected: progress by the value at the window's beginning; steps, or a share of 1.
        achieved: progress that was made, in the same unit.
        lagging: whether it is beyond the threshold.
        cleared: whether the robot gets on; neither is so in between.
        text: the same in words, with the unit.
    """

    expected: float
    achieved: float
    lagging: bool
    cleared: bool
    text: str


@dataclass(frozen=True)
class Stall:
    """The robot does not get on: at which step it was noticed, and the cause in words."""

    step: int
    cause: str


class RetryMonitor:
    """Watches a value or a progress, and tells of each stall once.

    A stall is told when the lagging has lasted for ``confirm_steps`` without having cleared in
    between. A trace that stops at a value above ``clear_steps``, after having been perfect, is
    told ``floor(lag_steps) + confirm_steps`` steps later where each step has a sample; samples
    that come every n steps add at most 2 (n - 1). A progress that stops is told at most
    ``window_steps + confirm_steps - 1`` steps later. Samples whose errors are at most half of
    ``lag_steps``, and at most ``clear_steps``, never make a perfect trace lag, because only two
    samples decide, and what is not above ``clear_steps`` may be the goal already.

    Call it from one thread.
    """

    def __init__(self, settings: RetrySettings) -> None:
        self.settings = settings
        self.judgement: Judgement | None = None
        self._samples: deque[tuple[int, float]] = deque()
        self._lagging_since: int | None = None
        self._watched_from = 0

    def begin(self, step: int) -> None:
        """Watches from here on, after the quiet time: what was before says nothing any more.

        Args:
            step: control tick of the present, as in :meth:`add`.
        """
        self.judgement, self._lagging_since = None, None
        self._samples.clear()
        self._watched_from = step + self.settings.quiet_steps

    def quiet(self, step: int) -> bool:
        """Whether nothing is watched at a step."""
        return step < self._watched_from

    def add(self, step: int, value: float) -> Stall | None:
        """Takes a sample; a stall, once, when it shows one.

        Args:
            step: control tick that it judges, ascending; others are not used.
            value: steps to go, 0 and more, or a progress from 0 to 1, as ``watch`` says.
        """
        before = self._samples[-1][0] if self._samples else None
        if not math.isfinite(value) or self.quiet(step) or (before is not None and step <= before):
            return None
        watch = self.settings.watch
        if before is not None and step - before > watch.window_steps:
            self._samples.clear()  # nothing came for so long: another window begins
        self._samples.append((step, value))
        # One sample from before the window is kept, so that it is always as long as it should be.
        while len(self._samples) > 1 and self._samples[1][0] <= step - watch.window_steps:
            self._samples.popleft()
        first, began = self._samples[0]
        steps = step - first
        if isinstance(watch, StepsToGo):
            judgement = _lag(watch, began, value, steps)
        else:
            judgement = _gain(watch, began, value, steps)
        self.judgement = judgement
        if judgement.lagging and self._lagging_since is None:
            self._lagging_since = step
        elif judgement.cleared:
            self._lagging_since = None
        since = self._lagging_since
        lasted = since is not None and step - since + 1 >= self.settings.confirm_steps
        if not (lasted and judgement.lagging):
            return None
        self.begin(step)
        return Stall(step, judgement.text)


def _lag(watch: StepsToGo, began: float, value: float, steps: int) -> Judgement:
    """One step nearer with every step, as far as the goal."""
    # From 15 to go a robot that stands still is 15 behind at the goal's time, and more later on:
    # held against the forecast alone, it would never lag when it stops this near.
    there = value <= watch.clear_steps
    expected = min(float(steps), began) if there else float(steps)
    achieved = began - value
    lag = expected - achieved  # minus the sum of the Bellman residuals
    text = f"{lag:.1f} steps behind after {steps} steps, with {value:.1f} to go"
    lagging = lag > watch.lag_steps + _ROUNDING
    return Judgement(expected, achieved, lagging, lag < watch.clear_steps, text)


def _gain(watch: Progress, began: float, value: float, steps: int) -> Judgement:
    """Something in every window; nothing is said before there is one."""
    whole, done = steps >= watch.window_steps, value >= watch.done
    gain = value - began
    lagging = whole and not done and gain < watch.minimum_gain
    text = f"progress gained {gain:.3f} in {steps} steps, at {value:.3f}"
    return Judgement(watch.minimum_gain, gain, lagging, done or gain > watch.clear_gain, text)
