"""Rewards that add up, through replay's rule: each counts exactly once."""

from __future__ import annotations

import math
from collections import Counter
from types import SimpleNamespace
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from vla_rl_nodes.episodes.reward.step_rewards import StepRewards
from vla_rl_nodes.replay.outcome import read_rewards
from vla_rl_nodes.replay.recording import REWARD


def replayed(told: list[tuple[int, float]], ticks: list[int]) -> list[float]:
    """The steps' rewards as replay reads them from a bag; NaN where there is none."""
    messages = [
        SimpleNamespace(
            name=["reward", "success"], position=[reward, 0.0],
            header=SimpleNamespace(stamp=SimpleNamespace(sec=0, nanosec=stamp), frame_id="j"),
        )
        for stamp, reward in told
    ]  # fmt: skip
    recording: Any = SimpleNamespace(messages={REWARD: messages}, refused=Counter())
    rewards, _, _ = read_rewards(recording, ticks)
    assert not recording.refused
    return [float(reward) for reward in rewards]


def test_two_verdicts_in_one_step_and_none_in_the_next() -> None:
    steps = StepRewards()
    steps.tick(0)
    told = [steps.add(10, 1.0), steps.add(40, 2.0)]
    steps.tick(50)
    steps.tick(100)
    told.append(steps.add(120, 4.0))
    assert told == [(10, 1.0), (40, 3.0), (120, 4.0)]
    np.testing.assert_equal(replayed(told, [0, 50, 100, 150]), [3.0, math.nan, 4.0])


def test_a_verdict_at_the_tick_belongs_to_the_step_that_ends_there() -> None:
    steps = StepRewards()
    for tick in (0, 50):
        steps.tick(tick)
    told = [steps.add(30, 1.0), steps.add(50, 2.0), steps.add(51, 4.0)]
    assert replayed(told, [0, 50, 100]) == [3.0, 4.0]


def test_a_late_verdict_never_goes_back_in_time() -> None:
    steps = StepRewards()
    steps.tick(0)
    told = [steps.add(30, 1.0)]
    steps.tick(50)
    told += [steps.add(60, 2.0), steps.add(40, 4.0)]  # captured before, judged after
    assert told[-1] == (60, 6.0)
    assert replayed(told, [0, 50, 100]) == [1.0, 6.0]


def test_a_tick_that_is_heard_late_is_put_right_by_the_next_verdict() -> None:
    steps = StepRewards()
    steps.tick(0)
    told = [steps.add(30, 1.0), steps.add(60, 2.0)]
    steps.tick(50)  # was on its way
    told.append(steps.add(70, 4.0))
    assert told[-1] == (70, 6.0)
    assert replayed(told, [0, 50, 100]) == [1.0, 6.0]


def test_a_new_episode_owes_nothing() -> None:
    steps = StepRewards()
    steps.tick(0)
    steps.add(30, 1.0)
    steps.reset()
    assert steps.add(5, 2.0) == (5, 2.0)


@given(
    st.lists(st.tuples(st.integers(1, 400), st.integers(-50, 50)), min_size=1, max_size=40),
    st.lists(st.integers(1, 90), min_size=10, max_size=30),
)
def test_nothing_is_lost_and_nothing_counts_twice(
    verdicts: list[tuple[int, int]], periods: list[int]
) -> None:
    ticks = [0]
    for period in periods:
        ticks.append(ticks[-1] + period)
    ticks.append(max(ticks[-1], 400) + 1)
    verdicts.sort()
    steps, told, heard = StepRewards(), [], 0
    for stamp, reward in verdicts:
        while heard < len(ticks) and ticks[heard] < stamp:
            steps.tick(ticks[heard])
            heard += 1
        told.append(steps.add(stamp, float(reward)))
    assert np.nansum(replayed(told, ticks)) == sum(reward for _, reward in verdicts)
