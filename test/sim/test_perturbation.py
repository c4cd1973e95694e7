"""The perturbation: bounded, correlated, reproducible, and over in time."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from vla_rl_nodes.safety.limits import load_limits
from vla_rl_nodes.sim.perturbation import RESIDUAL_BOUND, Perturbation

CLEAN = np.array([0.004, -0.003, -0.01, 0.02, 0.08])


def residuals(
    seed: int, clean: NDArray[np.float64] = CLEAN, ticks: int = 120
) -> NDArray[np.float64]:
    perturbation = Perturbation(seed, ticks)
    return np.array([perturbation.residual(tick, clean) for tick in range(ticks)])


def test_bound_is_the_filters() -> None:
    limits = load_limits("franka_pick")
    assert tuple(limits.residual_bound.values()) == RESIDUAL_BOUND


@given(st.integers(0, 2**31 - 1), st.sampled_from([0.0, 0.03, 0.08]))
def test_every_residual_is_bounded_and_leaves_a_possible_width(seed: int, width: float) -> None:
    clean = CLEAN.copy()
    clean[4] = width
    all_of_it = residuals(seed, clean)
    assert (np.abs(all_of_it) <= np.array(RESIDUAL_BOUND)).all()
    total = width + all_of_it[:, 4]
    assert (total >= -1e-12).all() and (total <= 0.08 + 1e-12).all()


def test_same_seed_same_residuals_other_seed_others() -> None:
    np.testing.assert_array_equal(residuals(11), residuals(11))
    assert np.abs(residuals(11) - residuals(12)).max() > 1e-3


def test_late_ticks_are_quiet_and_early_ones_are_not() -> None:
    for seed in range(50):
        perturbation = Perturbation(seed)
        rows = residuals(seed)
        assert 35 <= perturbation.quiet_from < 60
        assert not rows[perturbation.quiet_from :].any()
        assert rows[:35, :4].any()
    assert not Perturbation(0).residual(10_000, CLEAN).any()


def test_levels_differ_between_episodes_and_set_the_noise() -> None:
    levels = np.array([Perturbation(seed).level for seed in range(200)])
    sizes = np.array([np.median(np.abs(residuals(seed)[:35, :2])) for seed in range(200)])
    assert levels.min() < 0.05 and levels.max() > 0.95
    assert np.corrcoef(levels, sizes)[0, 1] > 0.8


def test_noise_is_correlated_in_time() -> None:
    pairs = [
        np.corrcoef(residuals(seed)[:34, 0], residuals(seed)[1:35, 0])[0, 1] for seed in range(50)
    ]
    assert np.mean(pairs) > 0.4


def test_wrong_gripper_spells_are_short_and_turn_the_command_round() -> None:
    spells = 0
    for seed in range(100):
        wrong = residuals(seed)[:, 4] != 0.0
        np.testing.assert_allclose(residuals(seed)[wrong, 4], -0.08)
        closed = CLEAN.copy()
        closed[4] = 0.0
        np.testing.assert_allclose(residuals(seed, closed)[wrong, 4], 0.08)
        spells += int(np.diff(np.concatenate([[0], wrong.astype(int)])).clip(0).sum())
        assert wrong.mean() < 0.4
    assert spells > 30
