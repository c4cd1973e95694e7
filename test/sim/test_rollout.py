"""The closed loop with the safety filter on: the expert succeeds, recovers, and is predictable."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.sim.actors import Decision, ExpertActor, PolicyActor, Seen
from vla_rl_nodes.sim.rollout import Episode, Rollout
from vla_rl_nodes.sim.world import World

SEEDS = range(20)


class Meddler(ExpertActor):
    """The expert, while somebody does something to the world at one tick."""

    def __init__(
        self, contract: Contract, world: World, at: int, shift: NDArray[np.float64]
    ) -> None:
        super().__init__(contract)
        self._world, self._at, self._shift = world, at, shift
        self.moved_by = 0.0

    def decide(self, tick: int, seen: Seen) -> Decision:
        if tick == self._at:
            position = self._world.object_pose("cube")[0]
            target = np.array([*(position[:2] + self._shift), 0.02])
            self._world.place_object("cube", target, 0.4)
            self.moved_by = float(np.linalg.norm(target - position))
        return super().decide(tick, seen)


@pytest.fixture(scope="module")
def clean(blind_rollout: Rollout) -> list[Episode]:
    actor = ExpertActor(blind_rollout.contract)
    return [blind_rollout.run(seed, actor) for seed in SEEDS]


def test_expert_lifts_the_cube_in_every_episode(clean: list[Episode]) -> None:
    assert [episode.success for episode in clean] == [True] * len(clean)
    assert all(2.0 < episode.seconds < 5.0 for episode in clean)
    for episode in clean:
        assert episode.last.privileged["cube_z"] > 0.12
        assert [tick.reward for tick in episode.ticks] == [0.0] * (len(episode.ticks) - 1) + [1.0]


def test_filter_accepts_the_experts_actions_as_they_are(clean: list[Episode]) -> None:
    for episode in clean:
        for tick in episode.ticks:
            assert tick.executed is not None and tick.decision is not None
            np.testing.assert_allclose(tick.executed.values, tick.decision.action, atol=1e-9)


def test_branches_foretell_what_the_expert_does(clean: list[Episode]) -> None:
    """Mean error over all ticks below 2 mm, 0.01 rad and 2 mm of width up to twelve ahead."""
    for ahead in (1, 4, 8, 12):
        errors = []
        for episode in clean:
            done = np.array([t.decision.action for t in episode.ticks if t.decision])
            told = [t.decision.chunk for t in episode.ticks if t.decision]
            foretold = np.array([chunk[ahead] for chunk in told if chunk is not None])
            errors.append(np.abs(foretold[:-ahead] - done[ahead:]))
        mean = np.concatenate(errors).mean(axis=0)
        assert (mean < [0.002, 0.002, 0.002, 0.01, 0.002]).all(), f"{ahead} ahead: {mean}"


def test_perturbed_expert_still_succeeds(blind_rollout: Rollout) -> None:
    """Without the rule on forces: a finger that is pushed onto the cube presses on it with more
    than 100 N, and with the rule about a quarter of these episodes end there."""
    rule = blind_rollout.limits
    blind_rollout.limits = rule.model_copy(update={"wrench": None})
    try:
        episodes = [
            blind_rollout.run(seed, ExpertActor(blind_rollout.contract, perturbed=True))
            for seed in range(10)
        ]
    finally:
        blind_rollout.limits = rule
    assert sum(episode.success for episode in episodes) >= 0.95 * len(episodes)
    for episode in episodes:
        disturbed = [
            float(np.abs(t.executed.values - t.decision.action).max())
            for t in episode.ticks
            if t.executed is not None and t.decision is not None
        ]
        assert max(disturbed) > 1e-3


@pytest.mark.parametrize("at", [20, 32, 45])
@pytest.mark.parametrize("shift", [(0.07, 0.0), (-0.05, 0.06)])
def test_expert_recovers_when_the_cube_is_taken_away(
    blind_rollout: Rollout, at: int, shift: tuple[float, float]
) -> None:
    actor = Meddler(blind_rollout.contract, blind_rollout.world, at, np.array(shift))
    episode = blind_rollout.run(3, actor)
    assert actor.moved_by > 0.05
    assert episode.success


def test_same_seed_gives_the_same_episode(blind_rollout: Rollout, contract: Contract) -> None:
    actor = ExpertActor(contract, perturbed=True)
    with Rollout(contract, cameras=False) as other:
        one, two = blind_rollout.run(5, actor), other.run(5, actor)
    assert len(one.ticks) == len(two.ticks)
    for a, b in zip(one.ticks, two.ticks, strict=True):
        assert a.seen.stamp_ns == b.seen.stamp_ns
        for key, value in a.seen.observation.items():
            np.testing.assert_array_equal(value, b.seen.observation[key])
        assert (a.executed is None) == (b.executed is None)  # the filter stops both, or none
        if a.executed is not None and b.executed is not None:
            np.testing.assert_array_equal(a.executed.values, b.executed.values)


def test_observations_are_of_the_contract_and_show_the_scene(
    rollout: Rollout, contract: Contract
) -> None:
    episode = rollout.run(1, ExpertActor(contract))
    for stream in contract.streams:
        values = np.stack([tick.seen.observation[stream.key] for tick in episode.ticks])
        assert values.shape[1:] == stream.shape and values.dtype == stream.dtype
        assert len(np.unique(values, axis=0)) > len(values) // 3
    stamps = np.array([tick.seen.stamp_ns for tick in episode.ticks])
    assert (np.diff(stamps) == contract.period_ns).all()


def test_measured_tool_follows_the_reference(clean: list[Episode]) -> None:
    for episode in clean:
        state = np.array([tick.seen.observation["state"] for tick in episode.ticks])
        reference = np.array([tick.seen.observation["reference"] for tick in episode.ticks])
        gap = np.linalg.norm(state[:, :3] - reference[:, :3], axis=1)
        steps = np.linalg.norm(np.diff(reference[:, :3], axis=0), axis=1)
        assert 0.05 < gap.max() / (steps.max() / 0.05) < 0.15  # seconds behind
        still = np.abs(np.diff(reference[:, :3], axis=0)).max(axis=1) < 1e-4
        assert gap[3:][still[:-2] & still[1:-1] & still[2:]].max() < 0.003


def test_an_idle_policy_runs_into_the_time_limit_and_the_arm_stays(
    blind_rollout: Rollout, contract: Contract
) -> None:
    idle = np.array([0.0, 0.0, 0.0, 0.0, 0.08])
    episode = blind_rollout.run(2, PolicyActor(lambda observation, tick: idle, delay=2))
    assert not episode.success and len(episode.ticks) == 120 and episode.seconds == 6.0
    assert sum(tick.reward for tick in episode.ticks) == 0.0
    assert [tick.executed is None for tick in episode.ticks[:3]] == [True, True, False]
    state = np.array([tick.seen.observation["state"][:4] for tick in episode.ticks])
    np.testing.assert_allclose(state, np.broadcast_to(state[0], state.shape), atol=1e-3)


def test_policy_that_goes_wild_is_kept_within_the_workspace(
    blind_rollout: Rollout, contract: Contract
) -> None:
    wild = np.array([0.02, 0.02, -0.02, 0.15, 0.0])
    episode = blind_rollout.run(2, PolicyActor(lambda observation, tick: wild))
    box = blind_rollout.limits.workspace
    reference = np.array([tick.seen.observation["reference"][:3] for tick in episode.ticks])
    assert (reference >= box.lower - 1e-6).all() and (reference <= box.upper + 1e-6).all()
    assert np.ptp(reference, axis=0).min() > 0.1


def test_contract_without_a_scene_with_a_task_is_refused(contract: Contract) -> None:
    with pytest.raises(InputError, match="has no task"):
        Rollout(contract.model_copy(update={"name": "table"}))
    with pytest.raises(InputError, match="is none of config/scenes"):
        Rollout(contract.model_copy(update={"name": "nowhere"}))
