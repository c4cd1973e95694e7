"""Demonstrations are whole replay folders: they load, and repeat to the last byte."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.replay.episode import EpisodeData, load_episode
from vla_rl_nodes.replay.folder import write_episode
from vla_rl_nodes.sim.collect import collect
from vla_rl_nodes.sim.rollout import Rollout


@pytest.fixture(scope="module")
def perturbed(rollout: Rollout) -> EpisodeData:
    return collect(rollout, 6, perturbed=True)


def test_saved_episode_loads_with_every_hash(perturbed: EpisodeData, tmp_path: Path) -> None:
    loaded = load_episode(write_episode(perturbed, tmp_path))
    assert loaded.header == perturbed.header
    for name, array in perturbed.transitions.arrays().items():
        np.testing.assert_array_equal(loaded.transitions.arrays()[name], array)


def test_same_seed_same_bytes(perturbed: EpisodeData, contract: Contract) -> None:
    with Rollout(contract) as other:
        again = collect(other, 6, perturbed=True)
    assert again.header.content_sha256 == perturbed.header.content_sha256


def test_actions_of_a_perturbed_demonstration(perturbed: EpisodeData, contract: Contract) -> None:
    t = perturbed.transitions
    assert np.isnan(t.action_intervention).all() and not t.intervened.any()
    np.testing.assert_array_equal(t.chunk[:, 0], t.action_proposed)
    total = np.clip(
        t.action_proposed + t.action_residual, contract.action.minimum, contract.action.maximum
    )
    free = t.safety_reasons == 0
    assert free.sum() > len(free) // 2
    np.testing.assert_allclose(t.action_executed[free], total[free], atol=1e-6)
    assert np.abs(t.action_residual[:35]).max() > 0.005
    assert t.terminated.tolist() == [False] * (len(t.reward) - 1) + [True]
    assert not t.truncated.any() and t.reward.tolist()[-1] == 1.0 and t.reward.sum() == 1.0


def test_privileged_names_the_cube(perturbed: EpisodeData) -> None:
    names = perturbed.header.privileged_names
    cube = perturbed.transitions.privileged
    assert cube is not None
    height = cube[:, names.index("cube_z")]
    assert height[0] == pytest.approx(0.02, abs=1e-3) and height[-1] > 0.12


def test_clean_demonstration_has_no_residual(rollout: Rollout) -> None:
    episode = collect(rollout, 6, perturbed=False)
    assert np.isnan(episode.transitions.action_residual).all()
    np.testing.assert_allclose(
        episode.transitions.action_executed, episode.transitions.action_proposed, atol=1e-6
    )
    assert episode.header.outcome == "success" and episode.header.seed == 6
