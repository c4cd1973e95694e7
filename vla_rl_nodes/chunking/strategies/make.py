"""Settings and a bundle's networks in, the strategy out."""

from __future__ import annotations

from typing import TypeVar

import numpy as np

from vla_rl_nodes.chunking.queue import ActionQueue, Merge
from vla_rl_nodes.chunking.settings import (
    BestOfN,
    Bid,
    ChunkingSettings,
    Guidance,
    NaiveAsync,
    Prefix,
    Sync,
    TemporalEnsemble,
)
from vla_rl_nodes.chunking.strategies.best_of_n import ByOutcome, NearestToPrefix, Ranked
from vla_rl_nodes.chunking.strategies.bid import BidirectionalDecoding
from vla_rl_nodes.chunking.strategies.guidance import GuidedFlow
from vla_rl_nodes.chunking.strategies.prefix import PrefixStudent, PrefixTeacher
from vla_rl_nodes.chunking.strategies.strategy import Models, Strategy
from vla_rl_nodes.chunking.strategies.unconditioned import Unconditioned
from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.errors import InputError

Model = TypeVar("Model")


def make_strategy(settings: ChunkingSettings, models: Models) -> Strategy:
    """The strategy that the settings name.

    Raises:
        InputError: the bundle does not hold a network that it needs.
    """
    match settings.strategy:
        case Prefix(sampler="student"):
            return PrefixStudent(models)
        case Prefix():
            return PrefixTeacher(models, _needed(models.flow, models, "a multi-step teacher"))
        case BestOfN() as chosen:
            return _best_of_n(chosen, models)
        case Guidance() as chosen:
            return GuidedFlow(chosen, models, _needed(models.flow, models, "a multi-step teacher"))
        case Sync():
            return Unconditioned("sync", Merge.WAIT, models)
        case NaiveAsync():
            return Unconditioned("naive_async", Merge.SPLICE, models)
        case TemporalEnsemble():
            return Unconditioned("temporal_ensemble", Merge.AVERAGE, models)
        case Bid() as chosen:
            return BidirectionalDecoding(chosen, models)


def _best_of_n(settings: BestOfN, models: Models) -> Strategy:
    match settings.score:
        case "prefix_error":
            return NearestToPrefix(settings, models)
        case "critic":
            critic = _needed(models.critic, models, "a critic")
            return Ranked(
                settings,
                models,
                lambda job, chunks: critic.values(job.observation, chunks).astype(np.float64),
            )
        case "novelty":
            novelty = _needed(models.novelty, models, "a novelty network")
            return Ranked(
                settings,
                models,
                lambda job, chunks: -novelty.novelty(job.observation, chunks).astype(np.float64),
            )
        case "outcome":
            _needed(models.engine.bundle.manifest.outcome, models, "a forecast of the outcome")
            return ByOutcome(settings, models)


def make_queue(settings: ChunkingSettings, strategy: Strategy, contract: Contract) -> ActionQueue:
    """The queue for a strategy on a contract.

    Raises:
        InputError: the settings do not fit the contract's chunk.
    """
    action = contract.action
    # Without training for it, d <= s <= H - d is all that bounds a prefix (arXiv 2506.07339).
    longest = action.max_delay if strategy.bounded_delay else action.chunk_length // 2
    if settings.replan_every > action.chunk_length - longest:
        raise InputError(
            f"chunking {strategy.name}: replan_every",
            f"is {settings.replan_every}; a chunk of {action.chunk_length} must leave room for a"
            f" delay of {longest}",
            f"give at most {action.chunk_length - longest}",
        )
    chosen = settings.strategy
    return ActionQueue(
        action.chunk_length,
        len(action.names),
        longest,
        # The others were trained for no delay at all: whatever is left of a chunk is used.
        max_delay=action.max_delay if strategy.bounded_delay else action.chunk_length - 1,
        replan_every=settings.replan_every,
        lost_after=max(1, round(settings.answer_timeout_s * contract.policy_hz)),
        merge=strategy.merge,
        decay=chosen.decay if isinstance(chosen, TemporalEnsemble) else 0.0,
    )


def _needed(model: Model | None, models: Models, what: str) -> Model:
    if model is None:
        raise InputError(
            models.engine.bundle.path, f"holds no {what.removeprefix('a ')}",
            "choose another strategy or export one",
        )  # fmt: skip
    return model
