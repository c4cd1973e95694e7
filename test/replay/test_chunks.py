from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from vla_rl_nodes.replay.chunks import chunk_transitions
from vla_rl_nodes.replay.episode import EpisodeData

from .plain_steps import steps_episode
from .test_spans import any_episodes


def test_chunks_by_hand() -> None:
    chunks = chunk_transitions(steps_episode([1, 2, 4, 8]), length=3, gamma=0.5, stride=2)
    assert len(chunks) == 2
    assert chunks.action[0, :, 0].tolist() == [0, 1, 2]
    np.testing.assert_array_equal(chunks.action[1, :, 0], [2, 3, np.nan])
    assert chunks.mask.tolist() == [[True, True, True], [True, True, False]]
    assert chunks.whole.tolist() == [True, False]
    assert chunks.complete.tolist() == [True, True]
    assert chunks.spans.reward.tolist() == [1 + 1 + 1, 4 + 4]
    assert chunks.spans.discount.tolist() == [1 / 8, 0]  # the second one holds the end
    assert chunks.spans.next_observation.tolist() == [3, 4]
    assert chunks.action.dtype == np.float32


def test_a_chunk_over_a_truncated_end_looks_behind_what_it_has() -> None:
    chunks = chunk_transitions(steps_episode([1, 1, 1], terminal=False), length=2, gamma=0.5)
    assert chunks.whole.tolist() == [True, True, False]
    assert chunks.spans.discount.tolist() == [0.25, 0.25, 0.5]


def test_what_nobody_executed_or_rewarded_is_told() -> None:
    nan = float("nan")
    chunks = chunk_transitions(
        steps_episode([0, nan, 0, 0], executed=[0, 1, 2, nan]), length=1, gamma=0.9
    )
    assert chunks.complete.tolist() == [True, False, True, False]
    assert np.isnan(chunks.action[3]).all() and chunks.mask.all() and chunks.whole.all()


@given(any_episodes(), st.integers(1, 15), st.integers(1, 5))
def test_chunks_are_those_of_a_plain_loop(episode: EpisodeData, length: int, stride: int) -> None:
    chunks, steps = chunk_transitions(episode, length, 0.9, stride), episode.transitions
    starts = range(0, len(steps.reward), stride)
    assert len(chunks) == len(starts)
    for row, start in enumerate(starts):
        complete = True
        for i in range(length):
            inside = start + i < len(steps.reward)
            assert chunks.mask[row, i] == inside
            value = float(steps.action_executed[start + i, 0]) if inside else float("nan")
            np.testing.assert_array_equal(chunks.action[row, i, 0], np.float32(value))
            if inside:
                complete &= value == value and not np.isnan(steps.reward[start + i])
        assert chunks.complete[row] == complete
        assert chunks.whole[row] == (start + length <= len(steps.reward))
