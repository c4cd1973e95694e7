"""Offline critic of whole chunks: Cal-QL, to choose among a frozen policy's candidates.

Temporal differences over whole chunks, and a conservative term that lowers the value of chunks
that the data do not show, but never below the return that the data did reach (Nakamoto et al.
2023, arXiv 2303.05479). The discount and the weight of the term are those of value-guided
steering (arXiv 2410.13816). The weight does not grow with the rewards: success should be worth
several times the weight more than failure, else the term outweighs what the data say.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Annotated, Self

import torch
from pydantic import Field
from torch import Tensor, nn

from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.learner.export_score import export_score
from vla_rl_nodes.learner.networks import ChunkHead
from vla_rl_nodes.learner.optimise import Progress, average_into, fit, silent
from vla_rl_nodes.learner.policy import Policy, Scales
from vla_rl_nodes.learner.recipe import Count, Share, Stage
from vla_rl_nodes.policy.critic import CRITIC

DISCOUNT = 0.98  # a control tick
CONSERVATIVE_WEIGHT = 5.0

# (contexts [B, C], candidates K) -> the policy's own chunks [B, K, H, A], in the contract's units
Propose = Callable[[Tensor, int], Tensor]


class CriticSettings(Stage):
    """Training of the critic."""

    width: Count
    conservative_weight: Annotated[float, Field(ge=0, allow_inf_nan=False)] = CONSERVATIVE_WEIGHT
    candidates: Count  # chunks drawn from the policy at a context, and as many random ones
    target_average: Share  # decay of the target network's moving average


@dataclass(frozen=True)
class ChunkTransitions:
    """What followed on N executed chunks.

    Attributes:
        context: before the chunk, [N, C].
        chunk: executed actions in the contract's units, [N, H, A].
        reward: discounted sum over the chunk's executed rows, [N].
        discount: γ to the number of executed rows; 0 where the episode terminated in them. [N]
        next_context: after the executed rows, [N, C].
        returns: discounted sum from the chunk's first row to the episode's end, [N].
    """

    context: Tensor
    chunk: Tensor
    reward: Tensor
    discount: Tensor
    next_context: Tensor
    returns: Tensor

    def __len__(self) -> int:
        return len(self.context)

    def rows(self, chosen: Tensor) -> Self:
        """Some of them, by index [B]."""
        return type(self)(*(getattr(self, f.name)[chosen] for f in fields(self)))

    @classmethod
    def joined(cls, parts: Sequence[ChunkTransitions]) -> ChunkTransitions:
        """Those of several episodes one after the other.

        Raises:
            InputError: there is none.
        """
        if not sum(len(part) for part in parts):
            raise InputError("transitions", "are none", "give longer episodes")
        return cls(*(torch.cat([getattr(p, f.name) for p in parts]) for f in fields(cls)))


def episode_transitions(
    context: Tensor, actions: Tensor, rewards: Tensor, *, terminated: bool, contract: Contract
) -> ChunkTransitions:
    """Every chunk of consecutive executed actions of one episode of T ticks.

    Behind a terminal end nothing counts any more: chunks that reach over it are filled with the
    last action and do not look further. A truncated episode went on unseen: chunks that reach
    over its end are left out, and its returns take the last reward to go on for ever (as ConRFT
    does for an episode that only ever fails, arXiv 2502.05450).

    Args:
        context: the policy's at every tick and after the last, [T + 1, C].
        actions: executed, in the contract's units, [T, A].
        rewards: of every tick, [T].
        terminated: whether the episode ended by success or failure, not by time or abort.
        contract: gives the chunk's length.

    Raises:
        InputError: the arrays differ in length or hold no tick.
    """
    ticks, length = len(rewards), contract.action.chunk_length
    if not ticks or len(actions) != ticks or len(context) != ticks + 1:
        raise InputError(
            "transitions",
            f"have {len(context)} contexts, {len(actions)} actions and {ticks} rewards",
            "give T + 1, T and T of them",
        )
    returns = torch.empty(ticks)
    tail = 0.0 if terminated else float(rewards[-1]) / (1 - DISCOUNT)
    for tick in range(ticks - 1, -1, -1):
        tail = float(rewards[tick]) + DISCOUNT * tail
        returns[tick] = tail
    starts = torch.arange(ticks if terminated else max(0, ticks - length + 1))
    rows = starts[:, None] + torch.arange(length)
    inside = rows < ticks
    rows = rows.clamp_max(ticks - 1)
    decay = DISCOUNT ** torch.arange(length)
    executed = inside.sum(dim=1)
    ends = starts + executed
    over = (ends == ticks) & terminated
    return ChunkTransitions(
        context=context[starts],
        chunk=actions[rows],
        reward=(rewards[rows] * inside * decay).sum(dim=1),
        discount=torch.where(over, 0.0, DISCOUNT**executed),
        next_context=context[ends],
        returns=returns[starts],
    )


class ChunkCritic(nn.Module):
    """(context [B, C], normalised chunk [B, H, A]) -> the lesser of two values, [B]."""

    def __init__(self, context: int, chunk: int, width: int) -> None:
        """``chunk`` is H times A."""
        super().__init__()
        self.members = nn.ModuleList(ChunkHead(context, chunk, 1, width) for _ in range(2))

    def values(self, context: Tensor, chunk: Tensor) -> Tensor:
        """What each of the two thinks, [2, B]."""
        return torch.stack([member(context, chunk)[:, 0] for member in self.members])

    def forward(self, context: Tensor, chunk: Tensor) -> Tensor:
        return self.values(context, chunk).amin(dim=0)


def target_values(transitions: ChunkTransitions, next_values: Tensor) -> Tensor:
    """What the value of each chunk should be, [B].

    Args:
        transitions: B of them.
        next_values: of the policy's candidates at the next context, [B, K]; the target takes
            their mean, the value of going on with the policy as it is.
    """
    return transitions.reward + transitions.discount * next_values.mean(dim=1)


def conservative_term(data: Tensor, random: Tensor, policy: Tensor, returns: Tensor) -> Tensor:
    """Cal-QL's soft maximum over chunks that are not the data's, less the data's; a scalar.

    The value of a policy's chunk counts as at least the return that the data reached: below it,
    nothing pushes further down. The policy has no density, so all samples weigh the same, and
    the soft maximum is the logarithm of a mean.

    Args:
        data: values of the executed chunks, [B].
        random: values of random chunks at the same contexts, [B, R].
        policy: values of the policy's chunks there, [B, K].
        returns: of the executed chunks, [B].
    """
    bounded = torch.maximum(policy, returns[:, None])
    others = torch.cat([random, bounded], dim=1)
    soft_maximum = others.logsumexp(dim=1) - math.log(others.shape[1])
    return (soft_maximum - data).mean()


def train_critic(
    transitions: ChunkTransitions,
    propose: Propose,
    scales: Scales,
    contract: Contract,
    settings: CriticSettings,
    generator: torch.Generator,
    progress: Progress = silent,
) -> ChunkCritic:
    """Trains a critic from scratch.

    Args:
        transitions: of all episodes.
        propose: the frozen policy, see :func:`candidates_of`.
        scales: the policy's.
        contract: gives the bounds of random chunks.
        settings: the numbers.
        generator: draws batches and random chunks.
        progress: see optimise.Progress.

    Returns:
        The averaged critic.

    Raises:
        InputError: there is no transition, or the loss is no longer finite.
    """
    if not len(transitions):
        raise InputError("transitions", "are none", "give longer episodes")
    size, many = transitions.chunk[0].numel(), settings.candidates
    critic = ChunkCritic(transitions.context.shape[1], size, settings.width)
    target = copy.deepcopy(critic).requires_grad_(False)
    low = torch.tensor(contract.action.minimum, dtype=torch.float32)
    high = torch.tensor(contract.action.maximum, dtype=torch.float32)
    steps = 0

    def judged(network: ChunkCritic, context: Tensor, chunks: Tensor) -> Tensor:
        """Values [2, B, K] of chunks [B, K, H, A] in the contract's units."""
        count = chunks.shape[1]
        rows = context.repeat_interleave(count, dim=0)
        values = network.values(rows, scales.normalised(chunks.flatten(0, 1)))
        return values.reshape(2, len(context), count)

    def loss() -> Tensor:
        nonlocal steps
        average_into(target, critic, steps, settings.target_average)
        steps += 1
        chosen = torch.randint(0, len(transitions), (settings.batch,), generator=generator)
        batch = transitions.rows(chosen)
        with torch.no_grad():
            there, here = propose(batch.next_context, many), propose(batch.context, many)
            wanted = target_values(batch, judged(target, batch.next_context, there).amin(dim=0))
            share = torch.rand(here.shape, generator=generator)
            random = low + share * (high - low)
        data = judged(critic, batch.context, batch.chunk[:, None])[:, :, 0]
        total = 0.5 * (data - wanted).square().mean(dim=1).sum()
        if settings.conservative_weight > 0:
            # Chunks that the policy would begin here, and those that it would begin next.
            others = judged(critic, batch.context, torch.cat([random, here, there], dim=1))
            for member in range(2):
                term = conservative_term(
                    data[member], others[member, :, :many], others[member, :, many:], batch.returns
                )
                total = total + settings.conservative_weight * term
        return total

    average = fit("critic", critic, loss, settings, progress)
    assert isinstance(average, ChunkCritic)
    return average


def candidates_of(policy: Policy, contract: Contract, generator: torch.Generator) -> Propose:
    """The policy's own chunks from fresh noise, without a committed prefix."""
    shape = (contract.action.chunk_length, len(contract.action.names))

    def propose(context: Tensor, many: int) -> Tensor:
        rows = context.repeat_interleave(many, dim=0)
        noise = torch.randn(len(rows), *shape, generator=generator)
        none = torch.zeros(len(rows), dtype=torch.int64)
        with torch.no_grad():
            chunks = policy.chunk(rows, torch.zeros_like(noise), none, noise)
        return chunks.reshape(len(context), many, *shape)

    return propose


def export_critic(policy: Policy, critic: ChunkCritic, contract: Contract) -> bytes:
    """``critic.onnx``: the streams and ``chunk`` -> ``value`` [B].

    Raises:
        InputError: the graph differs from torch.
    """
    return export_score(policy, critic, contract, CRITIC, "value")
