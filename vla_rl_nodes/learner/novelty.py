"""How rarely an observation and a chunk were in the training set, by flipping coins.

Every training row gets a fixed vector of random ±1. A network that is regressed on it can only
predict the mean over equal rows, and the mean of n such vectors has the expected square 1/n per
coin: a count without a density model (Lobel et al. 2023, arXiv 2306.03186; for choosing among
chunks at test time arXiv 2512.02834).
"""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.learner.export_score import export_score
from vla_rl_nodes.learner.networks import ChunkHead
from vla_rl_nodes.learner.optimise import Progress, fit, silent
from vla_rl_nodes.learner.policy import Policy, Scales
from vla_rl_nodes.learner.recipe import Count, Stage
from vla_rl_nodes.policy.novelty import NOVELTY


class NoveltySettings(Stage):
    """Training of the coin-flip network."""

    coins: Annotated[int, Field(ge=1, le=1024)]  # the count's relative error is √(2/coins)
    width: Count


class CoinFlips(nn.Module):
    """(context [B, C], normalised chunk [B, H, A]) -> ‖f‖² per coin, [B]: about 1/count.

    f is a trained network plus a frozen random one of unit square over the training set, the
    prior. The trained one starts at zero, so that what training never touched stays near 1.
    """

    def __init__(self, context: Tensor, chunk: Tensor, settings: NoveltySettings) -> None:
        """From the training set: contexts [N, C], normalised chunks [N, H, A]."""
        super().__init__()
        sizes = (context.shape[1], chunk[0].numel(), settings.coins, settings.width)
        self.trained, self.prior = ChunkHead(*sizes), ChunkHead(*sizes)
        self.prior.requires_grad_(False)
        last = self.trained.layers[-1]
        assert isinstance(last, nn.Linear)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        with torch.no_grad():
            raw = self.prior(context, chunk)
        self.register_buffer("prior_mean", raw.mean(0))
        # A set of equal rows has no spread; the floor keeps the prior finite there.
        self.register_buffer("prior_spread", raw.std(0, correction=0).clamp_min(1e-3))

    def flips(self, context: Tensor, chunk: Tensor) -> Tensor:
        """f, [B, coins]."""
        prior = (self.prior(context, chunk) - self.get_buffer("prior_mean")) / self.get_buffer(
            "prior_spread"
        )
        result: Tensor = self.trained(context, chunk) + prior
        return result

    def forward(self, context: Tensor, chunk: Tensor) -> Tensor:
        return self.flips(context, chunk).square().mean(dim=1)


def train_novelty(
    contexts: Tensor,
    chunks: Tensor,
    scales: Scales,
    settings: NoveltySettings,
    generator: torch.Generator,
    progress: Progress = silent,
) -> CoinFlips:
    """Regresses on one fixed vector of coins for each row.

    Args:
        contexts: the policy's context of every row of its training set, [N, C].
        chunks: the rows' chunks in the contract's units, [N, H, A].
        scales: the policy's.
        settings: the numbers.
        generator: draws coins and batches.
        progress: see optimise.Progress.

    Returns:
        The averaged network.

    Raises:
        InputError: no row, not one chunk a context, or the loss is no longer finite.
    """
    rows = len(contexts)
    if not rows or len(chunks) != rows:
        raise InputError("novelty", "has not one chunk a context", "give as many of both")
    normalised = scales.normalised(chunks)
    coins = 2.0 * torch.randint(0, 2, (rows, settings.coins), generator=generator) - 1.0
    network = CoinFlips(contexts, normalised, settings)

    def loss() -> Tensor:
        chosen = torch.randint(0, rows, (settings.batch,), generator=generator)
        return (
            (network.flips(contexts[chosen], normalised[chosen]) - coins[chosen]).square().mean()
        )

    average = fit("novelty", network, loss, settings, progress)
    assert isinstance(average, CoinFlips)
    return average


def export_novelty(policy: Policy, network: CoinFlips, contract: Contract) -> bytes:
    """``novelty.onnx``: the streams and ``chunk`` -> ``novelty`` [B], about 1/count.

    Raises:
        InputError: the graph differs from torch.
    """
    return export_score(policy, network, contract, NOVELTY, "novelty")
