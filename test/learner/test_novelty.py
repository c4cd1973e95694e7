"""The coin-flip network counts: its answer is one over how often a row was in the training set."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.learner.export import check_against_torch
from vla_rl_nodes.learner.novelty import (
    CoinFlips,
    NoveltySettings,
    export_novelty,
    train_novelty,
)
from vla_rl_nodes.learner.policy import Policy
from vla_rl_nodes.learner.recipe import Recipe
from vla_rl_nodes.policy.novelty import NOVELTY, Novelty

from .small_policy import as_batch, bundle_of, observation, random_chunks, random_policy

pytestmark = pytest.mark.learner

COUNTS = torch.tensor([1, 2, 3, 5, 8, 13, 21, 34, 55, 89]).repeat(3)
SETTINGS = NoveltySettings(
    steps=1200, batch=256, learning_rate=2e-3, weight_decay=0.0, average=0.98, coins=128, width=64
)


@pytest.fixture(scope="module", params=["franka_pick", "plane"])
def robot(request: pytest.FixtureRequest) -> Contract:
    """A contract with cameras and one without."""
    return load_contract(request.param)


@pytest.fixture(scope="module")
def policy(robot: Contract, small_recipe: Recipe) -> Policy:
    return random_policy(robot, small_recipe.network)


@pytest.fixture(scope="module")
def plane(small_recipe: Recipe) -> tuple[Contract, Policy]:
    contract = load_contract("plane")
    return contract, random_policy(contract, small_recipe.network)


@pytest.fixture(scope="module")
def counted(plane: tuple[Contract, Policy]) -> tuple[CoinFlips, Tensor, Tensor]:
    """Trained on rows of known counts, shuffled; and each row once: contexts and chunks."""
    contract, policy = plane
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(1)
    contexts = torch.randn(len(COUNTS), 6, generator=generator)
    chunks = random_chunks(contract, len(COUNTS), seed=1)
    rows = torch.arange(len(COUNTS)).repeat_interleave(COUNTS)
    rows = rows[torch.randperm(len(rows), generator=generator)]
    torch.manual_seed(1)
    network = train_novelty(contexts[rows], chunks[rows], policy.scales, SETTINGS, generator)
    return network, contexts, policy.scales.normalised(chunks)


def rank_correlation(a: Tensor, b: Tensor) -> float:
    """Spearman's: the correlation of the ranks, equal values sharing their mean rank."""

    def ranks(x: Tensor) -> Tensor:
        below = (x[:, None] > x[None]).sum(1)
        return below + ((x[:, None] == x[None]).sum(1) - 1) / 2

    return float(torch.corrcoef(torch.stack([ranks(a), ranks(b)]))[0, 1])


def test_the_ranks_helper_is_spearmans() -> None:
    a = torch.tensor([1.0, 2.0, 2.0, 4.0])  # ranks 0, 1.5, 1.5, 3
    assert rank_correlation(a, a.exp()) == pytest.approx(1.0)
    assert rank_correlation(a, -a) == pytest.approx(-1.0)
    b = torch.tensor([1.0, 3.0, 2.0, 0.0])  # ranks 1, 3, 2, 0
    assert rank_correlation(a, b) == pytest.approx(-1.5 / (4.5 * 5.0) ** 0.5)


def test_the_inverse_of_the_novelty_ranks_as_the_counts(
    counted: tuple[CoinFlips, Tensor, Tensor],
) -> None:
    network, contexts, chunks = counted
    novelty = network(contexts, chunks)
    assert rank_correlation(1 / novelty, COUNTS.to(torch.float32)) >= 0.9
    # The frozen prior alone knows nothing of the counts.
    prior = CoinFlips(contexts, chunks, SETTINGS)
    assert rank_correlation(1 / prior(contexts, chunks), COUNTS.to(torch.float32)) < 0.5


def test_it_is_about_one_over_the_count(counted: tuple[CoinFlips, Tensor, Tensor]) -> None:
    network, contexts, chunks = counted
    product = network(contexts, chunks) * COUNTS
    # The expectation is 1; the coins alone spread each product by √(2/128), an eighth.
    assert 0.8 < float(product.median()) < 1.25


def test_rows_that_were_never_seen_are_the_newest(
    counted: tuple[CoinFlips, Tensor, Tensor], plane: tuple[Contract, Policy]
) -> None:
    network, contexts, chunks = counted
    strange = network(contexts, chunks.roll(1, dims=0))  # chunks of other rows' contexts
    often = network(contexts, chunks)[COUNTS >= 21]
    assert float(strange.min()) > float(often.max())


def test_before_training_all_is_equally_new(counted: tuple[CoinFlips, Tensor, Tensor]) -> None:
    _, contexts, chunks = counted
    torch.manual_seed(3)
    fresh = CoinFlips(contexts, chunks, SETTINGS)
    square = fresh.flips(contexts, chunks).square().mean(0)
    assert torch.allclose(square, torch.ones(SETTINGS.coins), atol=1e-4)


def test_the_prior_is_never_trained(plane: tuple[Contract, Policy]) -> None:
    contract, policy = plane
    contexts, chunks = torch.randn(20, 6), random_chunks(contract, 20, seed=2)
    few = SETTINGS.model_copy(update={"steps": 5})
    torch.manual_seed(4)
    trained = train_novelty(contexts, chunks, policy.scales, few, torch.Generator().manual_seed(0))
    torch.manual_seed(4)
    fresh = CoinFlips(contexts, policy.scales.normalised(chunks), few)
    for after, before in zip(trained.prior.parameters(), fresh.prior.parameters(), strict=True):
        assert torch.equal(after, before)
    changed = [
        not torch.equal(a, b)
        for a, b in zip(trained.trained.parameters(), fresh.trained.parameters(), strict=True)
    ]
    assert any(changed)


@pytest.mark.parametrize("contexts", [0, 19])
def test_not_one_chunk_a_context_is_refused(plane: tuple[Contract, Policy], contexts: int) -> None:
    contract, policy = plane
    chunks = random_chunks(contract, 20 if contexts else 0, seed=2)
    with pytest.raises(InputError, match="novelty: has not one chunk a context"):
        train_novelty(torch.randn(contexts, 6), chunks, policy.scales, SETTINGS, torch.Generator())


def test_the_robot_gets_the_learners_numbers(
    robot: Contract, policy: Policy, key_path: Path, tmp_path: Path
) -> None:
    seen = observation(robot, 5)
    context = policy.observed(as_batch(seen))
    chunks = random_chunks(robot, 30, seed=5)
    torch.manual_seed(5)
    network = train_novelty(
        context + 0.1 * torch.randn(30, context.shape[1]),
        chunks,
        policy.scales,
        SETTINGS.model_copy(update={"steps": 20, "average": 0.5}),
        torch.Generator().manual_seed(5),
    )
    files = {NOVELTY: export_novelty(policy, network, robot)}
    novelty = Novelty(bundle_of(tmp_path / "b", policy, robot, key_path, files))
    wanted = network(context.expand(30, -1), policy.scales.normalised(chunks)).numpy()
    given = novelty.novelty(seen, chunks.numpy())
    assert np.allclose(given, wanted, rtol=1e-5, atol=1e-5)
    assert given.std() > 0.01


def test_another_networks_graph_is_noticed(plane: tuple[Contract, Policy]) -> None:
    contract, policy = plane
    seen = policy.observed(as_batch(observation(contract, 6)))
    chunk = random_chunks(contract, 1, seed=6)
    networks = []
    for seed in (7, 8):
        torch.manual_seed(seed)
        networks.append(
            CoinFlips(torch.randn(9, seen.shape[1]), torch.randn(9, 16, 2), SETTINGS).eval()
        )
    model = export_novelty(policy, networks[0], contract)
    feed = {**as_batch(observation(contract, 6)), "chunk": chunk}
    with torch.no_grad():
        wanted = [network(seen, policy.scales.normalised(chunk)) for network in networks]
    check_against_torch(NOVELTY, model, feed, [wanted[0]])
    with pytest.raises(InputError, match=r"novelty\.onnx: differs from torch by"):
        check_against_torch(NOVELTY, model, feed, [wanted[1]])
