"""The critic's parts against hand-computed numbers, and its values where they are known."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.learner.critic import (
    DISCOUNT,
    ChunkCritic,
    ChunkTransitions,
    CriticSettings,
    candidates_of,
    conservative_term,
    episode_transitions,
    export_critic,
    target_values,
    train_critic,
)
from vla_rl_nodes.learner.policy import Policy
from vla_rl_nodes.learner.recipe import Recipe
from vla_rl_nodes.policy.critic import CRITIC, Critic

from .small_policy import as_batch, bundle_of, lively, observation, random_chunks, random_policy

pytestmark = pytest.mark.learner

SETTINGS = CriticSettings(
    steps=400,
    batch=48,
    learning_rate=4e-3,
    weight_decay=0.0,
    average=0.97,
    width=32,
    candidates=4,
    target_average=0.97,
)


@pytest.fixture(scope="module", params=["franka_pick", "plane"])
def robot(request: pytest.FixtureRequest) -> Contract:
    """A contract with cameras and one without."""
    return load_contract(request.param)


@pytest.fixture(scope="module")
def policy(robot: Contract, small_recipe: Recipe) -> Policy:
    return random_policy(robot, small_recipe.network)


@pytest.fixture(scope="module")
def plane() -> Contract:
    return load_contract("plane")


@pytest.fixture(scope="module")
def short(plane: Contract) -> Contract:
    """The plane with chunks of three rows."""
    action = plane.action.model_copy(update={"chunk_length": 3, "max_delay": 1})
    return plane.model_copy(update={"action": action})


def episode(ticks: int) -> tuple[Tensor, Tensor, Tensor]:
    """Contexts [T + 1, 1], actions [T, 2] and rewards [T] that name their tick."""
    context = torch.arange(ticks + 1.0)[:, None]
    actions = torch.stack([torch.arange(ticks) / 100, -torch.arange(ticks) / 100], dim=1)
    return context, actions, torch.arange(1.0, ticks + 1)


def test_a_terminated_episode_by_hand(short: Contract) -> None:
    context, actions, rewards = episode(4)
    made = episode_transitions(context, actions, rewards, terminated=True, contract=short)
    g = DISCOUNT
    assert torch.equal(made.context[:, 0], torch.tensor([0.0, 1, 2, 3]))
    assert torch.equal(made.next_context[:, 0], torch.tensor([3.0, 4, 4, 4]))
    wanted = torch.tensor([1 + 2 * g + 3 * g**2, 2 + 3 * g + 4 * g**2, 3 + 4 * g, 4])
    assert torch.allclose(made.reward, wanted)
    assert torch.allclose(made.discount, torch.tensor([g**3, 0, 0, 0]))
    returns = torch.tensor([1 + 2 * g + 3 * g**2 + 4 * g**3, 2 + 3 * g + 4 * g**2, 3 + 4 * g, 4])
    assert torch.allclose(made.returns, returns)
    # The last action fills what lies behind the end.
    ticks = torch.tensor([[0.0, 1, 2], [1, 2, 3], [2, 3, 3], [3, 3, 3]]) / 100
    assert torch.allclose(made.chunk, torch.stack([ticks, -ticks], dim=2))


def test_a_truncated_episode_by_hand(short: Contract) -> None:
    context, actions, rewards = episode(4)
    made = episode_transitions(context, actions, rewards, terminated=False, contract=short)
    g = DISCOUNT
    assert torch.equal(made.next_context[:, 0], torch.tensor([3.0, 4]))
    assert torch.allclose(made.discount, torch.tensor([g**3, g**3]))
    assert torch.allclose(made.reward, torch.tensor([1 + 2 * g + 3 * g**2, 2 + 3 * g + 4 * g**2]))
    beyond = 4 / (1 - g)
    returns = torch.tensor(
        [1 + 2 * g + 3 * g**2 + 4 * g**3 + g**4 * beyond, 2 + 3 * g + 4 * g**2 + g**3 * beyond]
    )
    assert torch.allclose(made.returns, returns)


def test_a_failing_sparse_episode_returns_its_cost_for_ever(short: Contract) -> None:
    """ConRFT's rule: -1 a tick without an end is -1 / (1 - γ) from every tick."""
    context, actions, _ = episode(6)
    made = episode_transitions(context, actions, -torch.ones(6), terminated=False, contract=short)
    assert torch.allclose(made.returns, torch.full((4,), -1 / (1 - DISCOUNT)))


def test_a_truncated_episode_shorter_than_a_chunk_holds_nothing(short: Contract) -> None:
    made = episode_transitions(*episode(2), terminated=False, contract=short)
    assert len(made) == 0
    whole = episode_transitions(*episode(5), terminated=True, contract=short)
    assert len(ChunkTransitions.joined([made, whole, whole])) == 10
    with pytest.raises(InputError, match="transitions: are none"):
        ChunkTransitions.joined([made])


@pytest.mark.parametrize(
    "change",
    [
        lambda c, a, r: (c[:-1], a, r),
        lambda c, a, r: (c, a[:-1], r),
        lambda c, a, r: (c, a, r[:-1]),
        lambda c, a, r: (c[:1], a[:0], r[:0]),
    ],
)
def test_arrays_that_do_not_fit_are_refused(
    short: Contract, change: Callable[..., tuple[Tensor, Tensor, Tensor]]
) -> None:
    with pytest.raises(InputError, match="transitions: have"):
        episode_transitions(*change(*episode(4)), terminated=True, contract=short)


def test_targets_by_hand(short: Contract) -> None:
    made = episode_transitions(*episode(4), terminated=True, contract=short)
    values = torch.tensor([[1.0, 3.0], [5.0, 5.0], [7.0, 9.0], [100.0, 0.0]])
    wanted = made.reward + torch.tensor([DISCOUNT**3 * 2.0, 0, 0, 0])
    assert torch.allclose(target_values(made, values), wanted)


def test_the_conservative_term_by_hand() -> None:
    data = torch.tensor([1.0, -2.0])
    random = torch.tensor([[0.5, 3.0], [-1.0, 0.0]])
    policy = torch.tensor([[2.0, -4.0], [-3.0, 1.5]])
    returns = torch.tensor([0.25, -0.5])
    # The policy's values count as at least the return; random ones as they are.
    first = math.log((math.exp(0.5) + math.exp(3.0) + math.exp(2.0) + math.exp(0.25)) / 4) - 1.0
    second = math.log((math.exp(-1.0) + 1.0 + math.exp(-0.5) + math.exp(1.5)) / 4) + 2.0
    given = conservative_term(data, random, policy, returns)
    assert float(given) == pytest.approx((first + second) / 2, abs=1e-6)


def test_nothing_pushes_a_policys_value_below_the_return() -> None:
    policy = torch.tensor([[-1.0, 0.2, 0.9]], requires_grad=True)
    random = torch.tensor([[-1.0, 0.2]], requires_grad=True)
    data = torch.tensor([0.0], requires_grad=True)
    conservative_term(data, random, policy, torch.tensor([0.5])).backward()  # type: ignore[no-untyped-call]
    assert policy.grad is not None and random.grad is not None and data.grad is not None
    assert policy.grad[0, 0] == 0 and policy.grad[0, 1] == 0 and policy.grad[0, 2] > 0
    assert bool((random.grad > 0).all()) and data.grad[0] == -1


def test_equal_values_cost_nothing() -> None:
    """Whatever the number of samples: the soft maximum is of a mean, not of a sum."""
    for many in (1, 7):
        same = torch.full((3, many), 2.5)
        term = conservative_term(same[:, 0], same, same, torch.zeros(3))
        assert float(term) == pytest.approx(0.0, abs=1e-6)


def test_the_lesser_of_two_is_the_value() -> None:
    critic = ChunkCritic(3, 8, 16)
    lively(critic, 1)
    context, chunk = torch.randn(40, 3), torch.randn(40, 4, 2)
    both = critic.values(context, chunk)
    value = critic(context, chunk)
    assert torch.equal(value, torch.minimum(both[0], both[1]))
    assert bool((value == both[0]).any()) and bool((value == both[1]).any())


class TwoStates:
    """State 0 leads to state 1 in a chunk; there, chunks to the right earn 20, to the left 0.

    The policy goes either way equally often, so state 0 is worth half of 20 a chunk later.
    """

    REWARD = 20.0

    def __init__(self, contract: Contract, seed: int) -> None:
        self.generator = torch.Generator().manual_seed(seed)
        self.decay = DISCOUNT**contract.action.chunk_length
        self.shape = (contract.action.chunk_length, 2)

    def chunks(self, way: Tensor) -> Tensor:
        """Chunks of 1 cm a tick to the right (+1) or left (-1), with some noise."""
        noise = torch.randn(*way.shape, *self.shape, generator=self.generator)
        return 0.01 * way[..., None, None] + 0.001 * noise

    def ways(self, *shape: int) -> Tensor:
        return torch.where(torch.rand(*shape, generator=self.generator) < 0.5, -1.0, 1.0)

    def propose(self, context: Tensor, many: int) -> Tensor:
        return self.chunks(self.ways(len(context), many))

    def transitions(self, count: int) -> ChunkTransitions:
        last = torch.arange(count) % 2 == 1
        way = self.ways(count)
        earned = self.REWARD * (way > 0)
        later = self.decay * self.REWARD * (self.ways(count) > 0)
        return ChunkTransitions(
            context=self.state(last),
            chunk=self.chunks(way),
            reward=torch.where(last, earned, 0.0),
            discount=torch.where(last, 0.0, self.decay),
            next_context=self.state(torch.ones(count, dtype=torch.bool)),
            returns=torch.where(last, earned, later),
        )

    @staticmethod
    def state(last: Tensor) -> Tensor:
        return torch.nn.functional.one_hot(last.long(), 2).to(torch.float32)


def mean_values(
    world: TwoStates, policy: Policy, critic: ChunkCritic
) -> dict[tuple[int, int], float]:
    """(state, way) -> value."""
    means = {}
    for state in (0, 1):
        for way in (-1, 1):
            chunk = policy.scales.normalised(world.chunks(torch.full((64,), float(way))))
            context = world.state(torch.full((64,), state == 1))
            means[state, way] = float(critic(context, chunk).mean())
    return means


@pytest.fixture(scope="module")
def trained(
    plane: Contract, small_recipe: Recipe
) -> dict[float, tuple[TwoStates, Policy, ChunkCritic]]:
    """By the weight of the conservative term."""
    torch.set_num_threads(1)
    policy = random_policy(plane, small_recipe.network)
    made = {}
    for weight in (0.0, 5.0):
        torch.manual_seed(2)
        world = TwoStates(plane, seed=2)
        settings = SETTINGS.model_copy(update={"conservative_weight": weight})
        critic = train_critic(
            world.transitions(400), world.propose, policy.scales, plane, settings, world.generator
        )
        made[weight] = (world, policy, critic)
    return made


def test_without_the_term_values_are_the_policys(
    trained: dict[float, tuple[TwoStates, Policy, ChunkCritic]],
) -> None:
    world, policy, critic = trained[0.0]
    means = mean_values(world, policy, critic)
    later = world.decay * world.REWARD / 2
    wanted = {(0, -1): later, (0, 1): later, (1, -1): 0.0, (1, 1): world.REWARD}
    for case, value in wanted.items():
        assert means[case] == pytest.approx(value, abs=0.05 * world.REWARD)


def test_with_the_term_unseen_chunks_are_worth_less_and_the_order_stays(
    trained: dict[float, tuple[TwoStates, Policy, ChunkCritic]], plane: Contract
) -> None:
    world, policy, critic = trained[5.0]
    means = mean_values(world, policy, critic)
    # The term raises what the data show by its weight at most, which leaves 15 of 20.
    assert means[1, 1] - means[1, -1] == pytest.approx(world.REWARD - 5, abs=0.1 * world.REWARD)
    strange = policy.scales.normalised(random_chunks(plane, 64, seed=3))
    for weight, worse in ((5.0, True), (0.0, False)):
        _, _, judge = trained[weight]
        value = float(judge(world.state(torch.zeros(64, dtype=torch.bool)), strange).mean())
        seen = mean_values(world, policy, judge)
        assert (value < min(seen[0, -1], seen[0, 1]) - 0.3 * world.REWARD) is worse


def test_the_policys_candidates_are_what_it_would_do(robot: Contract, policy: Policy) -> None:
    batch = as_batch(observation(robot, 4))
    context = policy.observed(batch).repeat(3, 1)
    chunks = candidates_of(policy, robot, torch.Generator().manual_seed(4))(context, 5)
    shape = (robot.action.chunk_length, len(robot.action.names))
    assert chunks.shape == (3, 5, *shape)
    noise = torch.randn(15, *shape, generator=torch.Generator().manual_seed(4))
    none = torch.zeros(15, dtype=torch.int64)
    many = {key: value.expand(15, *value.shape[1:]) for key, value in batch.items()}
    wanted = policy(many, torch.zeros(15, *shape), none, noise)
    assert torch.allclose(chunks.flatten(0, 1), wanted, atol=1e-6)
    assert len(torch.unique(chunks.flatten(0, 1).flatten(1), dim=0)) == 15


def test_the_robot_gets_the_learners_values(
    robot: Contract, policy: Policy, key_path: Path, tmp_path: Path
) -> None:
    seen = observation(robot, 5)
    context = policy.observed(as_batch(seen))
    network = ChunkCritic(
        context.shape[1], robot.action.chunk_length * len(robot.action.names), 24
    )
    lively(network, 5)
    files = {CRITIC: export_critic(policy, network, robot)}
    critic = Critic(bundle_of(tmp_path / "b", policy, robot, key_path, files))
    chunks = random_chunks(robot, 30, seed=5)
    wanted = network(context.expand(30, -1), policy.scales.normalised(chunks)).numpy()
    given = critic.values(seen, chunks.numpy())
    assert np.allclose(given, wanted, rtol=1e-5, atol=1e-5)
    assert given.std() > 0.01


def test_no_transition_is_refused(plane: Contract, policy: Policy) -> None:
    world = TwoStates(plane, seed=1)
    nothing = world.transitions(2).rows(torch.empty(0, dtype=torch.int64))
    with pytest.raises(InputError, match="transitions: are none"):
        train_critic(nothing, world.propose, policy.scales, plane, SETTINGS, world.generator)
