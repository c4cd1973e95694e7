from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.replay.episode import EpisodeData
from vla_rl_nodes.replay.spans import spans

from .plain_steps import PERIOD_NS, steps_episode


def test_three_steps_at_a_time_by_hand() -> None:
    # Rewards 1 2 4 8, discount 1/2, the last step terminates.
    found = spans(steps_episode([1, 2, 4, 8]), length=3, gamma=0.5)
    assert found.observation.tolist() == [0, 1, 2, 3]
    assert found.steps.tolist() == [3, 3, 2, 1]
    assert found.next_observation.tolist() == [3, 4, 4, 4]
    assert found.reward.tolist() == [1 + 1 + 1, 2 + 2 + 2, 4 + 4, 8]
    # Behind steps 0, 1, 2 the episode goes on; whatever holds step 3 has no value behind it.
    assert found.discount.tolist() == [1 / 8, 0, 0, 0]
    assert found.terminated.tolist() == [False, True, True, True]
    assert not found.truncated.any() and len(found) == 4


def test_a_truncation_is_looked_behind_with_the_power_of_the_steps_that_were_summed() -> None:
    found = spans(steps_episode([1, 2, 4, 8], terminal=False), length=3, gamma=0.5)
    assert found.reward.tolist() == [3, 6, 8, 8]
    assert found.discount.tolist() == [1 / 8, 1 / 8, 1 / 4, 1 / 2]
    assert found.next_observation.tolist() == [3, 4, 4, 4]
    assert found.truncated.tolist() == [False, True, True, True]
    assert not found.terminated.any()


def test_a_stride_leaves_starts_out_and_nothing_else() -> None:
    found = spans(steps_episode(range(7)), length=2, gamma=1.0, stride=3)
    assert found.observation.tolist() == [0, 3, 6]
    assert found.reward.tolist() == [0 + 1, 3 + 4, 6]
    assert found.next_observation.tolist() == [2, 5, 7]


def test_whose_steps_they_are() -> None:
    episode = steps_episode(
        [0] * 6, versions=[0, 0, 1, 1, 1, 1], person=[False, False, False, False, True, True]
    )
    found = spans(episode, length=2, gamma=0.9)
    assert found.mixed.tolist() == [False, True, False, True, False, False]
    assert found.intervened.tolist() == [False, False, False, True, True, True]


def test_a_persons_steps_are_one_hand_whatever_policy_stood_by() -> None:
    found = spans(steps_episode([0] * 3, versions=[0, 1, 2], person=[True] * 3), 3, 0.9)
    assert not found.mixed.any() and found.intervened.all()


def test_a_missing_tick_is_flagged_and_a_missing_reward_makes_no_number() -> None:
    stamps = [0, PERIOD_NS, 3 * PERIOD_NS, 4 * PERIOD_NS, 5 * PERIOD_NS]
    found = spans(steps_episode([1, 1, 1, np.nan], stamps_ns=stamps), length=2, gamma=0.5)
    assert found.gap.tolist() == [True, True, False, False]
    np.testing.assert_array_equal(found.reward, [1.5, 1.5, np.nan, np.nan])


@pytest.mark.parametrize(
    ("length", "stride", "gamma"), [(0, 1, 0.9), (1, 0, 0.9), (1, 1, 0.0), (1, 1, 1.01),
                                    (1, 1, float("nan")), (-3, 1, 0.9)],
)  # fmt: skip
def test_impossible_stretches_are_refused(length: int, stride: int, gamma: float) -> None:
    with pytest.raises(InputError, match="gives no stretches of steps; give") as caught:
        spans(steps_episode([1.0]), length, gamma, stride)
    assert "\n" not in str(caught.value)


@st.composite
def any_episodes(draw: st.DrawFn) -> EpisodeData:
    total = draw(st.integers(1, 12))

    def each(element: st.SearchStrategy[object]) -> list[object]:
        return draw(st.lists(element, min_size=total, max_size=total))

    maybe = st.one_of(st.floats(-3, 3, width=32), st.just(float("nan")))
    lasting = draw(st.lists(st.integers(1, 2 * PERIOD_NS), min_size=total, max_size=total))
    return steps_episode(
        each(maybe),  # type: ignore[arg-type]
        terminal=draw(st.booleans()),
        versions=each(st.integers(0, 2)),  # type: ignore[arg-type]
        person=each(st.booleans()),  # type: ignore[arg-type]
        executed=each(maybe),  # type: ignore[arg-type]
        stamps_ns=np.cumsum([0, *lasting]).tolist(),
    )


@given(any_episodes(), st.integers(1, 15), st.integers(1, 5), st.sampled_from([1.0, 0.99, 0.5]))
def test_spans_are_those_of_a_plain_loop(
    episode: EpisodeData, length: int, stride: int, gamma: float
) -> None:
    found, steps = spans(episode, length, gamma, stride), episode.transitions
    total = len(steps.reward)
    starts = [k for k in range(total) if k % stride == 0]
    assert found.observation.tolist() == starts
    for row, start in enumerate(starts):
        earned, k, hands, gap = 0.0, start, [], False
        while k < total and k - start < length:
            earned += gamma ** (k - start) * float(steps.reward[k])
            hands.append("person" if steps.intervened[k] else int(steps.policy_version[k]))
            gap |= int(steps.stamp_ns[k + 1] - steps.stamp_ns[k]) > 1.5 * PERIOD_NS
            k += 1
        np.testing.assert_array_equal(found.reward[row], np.float32(earned))
        assert found.steps[row] == k - start and found.next_observation[row] == k
        over = k == total
        assert found.terminated[row] == (over and steps.terminated[-1])
        assert found.truncated[row] == (over and steps.truncated[-1])
        ends = over and steps.terminated[-1]
        assert found.discount[row] == np.float32(0.0 if ends else gamma ** (k - start))
        assert found.mixed[row] == (len(set(hands)) > 1)
        assert found.intervened[row] == ("person" in hands)
        assert found.gap[row] == gap
