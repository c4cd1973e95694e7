"""Shaping leaves the best tabular policy what it is, whatever the potential."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from vla_rl_nodes.episodes.reward.shaping import shaping

Table = NDArray[np.float64]


def best_values(rewards: Table, nexts: Table, gamma: float, end: int) -> Table:
    """Q [S, A] of the optimal policy, by value iteration to convergence."""
    q = np.zeros(rewards.shape)
    for _ in range(2000):
        values = q.max(axis=1)
        values[end] = 0.0
        new = rewards + gamma * nexts @ values
        new[end] = 0.0
        if np.abs(new - q).max() < 1e-13:
            return new
        q = new
    raise AssertionError("did not converge")


@given(st.integers(0, 2**31), st.sampled_from([0.5, 0.9, 0.97]))
def test_the_optimal_policy_is_unchanged(seed: int, gamma: float) -> None:
    rng = np.random.default_rng(seed)
    states, actions, end = 6, 3, 5
    nexts = rng.dirichlet(np.full(states, 0.4), (states, actions))  # [S, A, S']
    rewards = rng.normal(size=(states, actions))
    potential = 10.0 * rng.normal(size=states)
    potential[end] = 0.0
    added = np.array(
        [
            [
                sum(nexts[s, a, t] * shaping(gamma, potential[s], potential[t])
                    for t in range(states))
                for a in range(actions)
            ]
            for s in range(states)
        ]
    )  # fmt: skip
    plain = best_values(rewards, nexts, gamma, end)
    shaped = best_values(rewards + added, nexts, gamma, end)
    # Not only the policy: every value moves by the same potential of its state.
    others = [s for s in range(states) if s != end]
    moved = plain - potential[:, None]
    np.testing.assert_allclose(shaped[others], moved[others], atol=1e-9)
    best = np.sort(plain[others], axis=1)
    clear = (best[:, -1] - best[:, -2]) > 1e-9
    assert (plain[others].argmax(1)[clear] == shaped[others].argmax(1)[clear]).all()


def test_a_bonus_for_states_alone_would_change_it() -> None:
    # Two states in a circle and an exit worth 1: a reward for being near the exit is farmed.
    gamma, end = 0.9, 2
    nexts = np.zeros((3, 2, 3))
    nexts[0, :, 1] = nexts[1, 0, 0] = nexts[1, 1, end] = nexts[end, :, end] = 1.0
    rewards = np.zeros((3, 2))
    rewards[1, 1] = 1.0
    near = np.array([0.0, 0.8, 0.0])
    assert best_values(rewards, nexts, gamma, end)[1].argmax() == 1
    assert best_values(rewards + nexts @ near, nexts, gamma, end)[1].argmax() == 0
    added = [[shaping(gamma, near[s], float(nexts[s, a] @ near)) for a in range(2)]
             for s in range(3)]  # fmt: skip
    assert best_values(rewards + np.array(added), nexts, gamma, end)[1].argmax() == 1


@given(st.lists(st.integers(-1000, 1000), min_size=2, max_size=50))
def test_at_gamma_one_it_telescopes(levels: list[int]) -> None:
    total = sum(shaping(1.0, float(a), float(b)) for a, b in pairwise(levels))
    assert total == levels[-1] - levels[0]


def test_discounted_sums_telescope_too() -> None:
    values, gamma = [3.0, -1.0, 4.0, 0.0], 0.9
    total = sum(gamma**t * shaping(gamma, values[t], values[t + 1]) for t in range(3))
    assert total == pytest.approx(gamma**3 * values[3] - values[0], abs=1e-12)
