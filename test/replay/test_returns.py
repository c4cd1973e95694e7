from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla_rl_nodes.replay.episode import EpisodeData
from vla_rl_nodes.replay.returns import step_transitions

from .plain_steps import steps_episode
from .test_spans import any_episodes


def test_one_step_transitions_are_the_steps_themselves() -> None:
    found = step_transitions(steps_episode([1, 2, 3]), n=1, gamma=0.9)
    assert found.spans.reward.tolist() == [1, 2, 3]
    assert found.action[:, 0].tolist() == [0, 1, 2]
    np.testing.assert_array_equal(found.spans.discount, np.float32([0.9, 0.9, 0.0]))
    assert found.spans.next_observation.tolist() == [1, 2, 3]


def test_three_step_returns_by_hand() -> None:
    found = step_transitions(steps_episode([1, 2, 4, 8, 16], terminal=False), n=3, gamma=0.5)
    assert found.spans.reward.tolist() == [3, 6, 12, 16, 16]
    assert found.spans.discount.tolist() == [1 / 8, 1 / 8, 1 / 8, 1 / 4, 1 / 2]
    assert found.spans.next_observation.tolist() == [3, 4, 5, 5, 5]
    assert found.complete.all() and len(found) == 5


def test_only_the_first_action_has_to_be_there() -> None:
    nan = float("nan")
    found = step_transitions(
        steps_episode([0, 0, 0, nan], executed=[0, nan, 2, 3]), n=2, gamma=0.9
    )
    assert found.complete.tolist() == [True, False, False, False]


@given(any_episodes(), st.integers(1, 15), st.integers(1, 4))
def test_returns_are_those_of_a_plain_loop(episode: EpisodeData, n: int, stride: int) -> None:
    found, steps = step_transitions(episode, n, 0.97, stride), episode.transitions
    starts = range(0, len(steps.reward), stride)
    np.testing.assert_array_equal(found.action, steps.action_executed[::stride])
    for row, start in enumerate(starts):
        earned = [float(r) for r in steps.reward[start : start + n]]
        total = sum(0.97**i * r for i, r in enumerate(earned))
        np.testing.assert_array_equal(found.spans.reward[row], np.float32(total))
        acted = not np.isnan(steps.action_executed[start]).any()
        assert found.complete[row] == (acted and not np.isnan(earned).any())


@pytest.mark.learner
@pytest.mark.parametrize("terminal", [True, False])
@pytest.mark.parametrize("n", [1, 3, 20])
def test_torchrl_sums_the_same(n: int, terminal: bool) -> None:
    import torch
    from tensordict import TensorDict
    from torchrl.data.postprocs import MultiStep

    rng = np.random.default_rng(n)
    total, gamma = 11, 0.93
    episode = steps_episode(rng.normal(size=total).tolist(), terminal=terminal)
    steps = episode.transitions

    def column(values: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(values))[None, :, None]

    done = column(steps.terminated | steps.truncated)
    batch = TensorDict(
        {
            "state": column(steps.observations["state"][:-1, 0]),
            "collector": {"mask": torch.ones(1, total, dtype=torch.bool)},
            "next": {
                "state": column(steps.observations["state"][1:, 0]),
                "reward": column(steps.reward),
                "done": done,
                "terminated": column(steps.terminated),
                "truncated": column(steps.truncated),
            },
        },
        batch_size=[1, total],
    )
    theirs = MultiStep(gamma=gamma, n_steps=n)(batch)
    found = step_transitions(episode, n, gamma).spans
    np.testing.assert_allclose(
        theirs["next", "reward"].numpy().ravel(), found.reward, rtol=1e-5, atol=1e-6
    )
    np.testing.assert_array_equal(
        theirs["next", "state"].numpy().ravel(),
        steps.observations["state"][found.next_observation, 0],
    )
    powers = theirs["gamma"].numpy().ravel()
    np.testing.assert_allclose(found.discount, np.where(found.terminated, 0.0, powers), rtol=1e-6)
