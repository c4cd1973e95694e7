"""Actors: the expert's state from named streams, and late policies."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.sim.actors import ExpertActor, PolicyActor, Seen

PRIVILEGED = {
    "cube_x": 0.5, "cube_y": 0.1, "cube_z": 0.02,
    "cube_qw": np.cos(0.15), "cube_qx": 0.0, "cube_qy": 0.0, "cube_qz": np.sin(0.15),
}  # fmt: skip


def seen(number: int = 0) -> Seen:
    observation: dict[str, NDArray[Any]] = {
        "image_scene": np.full((64, 64, 3), number, dtype=np.uint8),
        "image_wrist": np.zeros((64, 64, 3), dtype=np.uint8),
        "state": np.array([0.41, 0.02, 0.3, 0.1, 0.08, -0.01], dtype=np.float32),
        "reference": np.array([0.42, 0.03, 0.29, 0.15, 0.0], dtype=np.float32),
    }
    return Seen(number, observation, PRIVILEGED)


def test_expert_state_is_read_by_name(contract: Contract) -> None:
    state = ExpertActor(contract).state(seen())
    np.testing.assert_allclose(state.tool, [0.41, 0.02, 0.3, 0.1], atol=1e-6)
    np.testing.assert_allclose(state.reference, [0.42, 0.03, 0.29, 0.15], atol=1e-6)
    assert state.width == pytest.approx(0.08) and state.finger_speed == pytest.approx(-0.01)
    np.testing.assert_allclose(state.cube, [0.5, 0.1, 0.02])
    assert state.cube_yaw == pytest.approx(0.3)


def test_undisturbed_expert_has_no_residual_and_its_chunk_begins_with_its_action(
    contract: Contract,
) -> None:
    actor = ExpertActor(contract)
    actor.start(3)
    decision = actor.decide(0, seen())
    assert decision.residual is None and decision.chunk is not None
    assert decision.chunk.shape == (16, 5)
    np.testing.assert_array_equal(decision.chunk[0], decision.action)


def test_perturbed_expert_differs_by_its_residual_alone(contract: Contract) -> None:
    clean, noisy = ExpertActor(contract), ExpertActor(contract, perturbed=True)
    clean.start(3)
    noisy.start(3)
    a, b = clean.decide(5, seen()), noisy.decide(5, seen())
    np.testing.assert_array_equal(a.action, b.action)
    assert b.residual is not None and b.residual.any()
    noisy.start(4)
    other = noisy.decide(5, seen())
    assert other.residual is not None and (other.residual != b.residual).any()


@pytest.mark.parametrize("delay", [0, 1, 3])
def test_policy_acts_on_the_observation_of_delay_ticks_ago(delay: int) -> None:
    def policy(observation: dict[str, NDArray[np.float64]], tick: int) -> NDArray[np.float64]:
        return np.full(5, observation["image_scene"][0, 0, 0])

    actor = PolicyActor(policy, delay)
    for _ in range(2):  # a new episode forgets the old one's observations
        actor.start(0)
        decisions = [actor.decide(tick, seen(tick)) for tick in range(6)]
        assert [d is None for d in decisions] == [tick < delay for tick in range(6)]
        acted = [d.action[0] for d in decisions if d is not None]
        assert acted == list(range(6 - delay))


def test_negative_delay_is_refused() -> None:
    with pytest.raises(ValueError, match="negative"):
        PolicyActor(lambda observation, tick: np.zeros(5), -1)
