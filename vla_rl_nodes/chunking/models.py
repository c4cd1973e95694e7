"""Opens the networks of a bundle for the strategies."""

from __future__ import annotations

from collections.abc import Callable

from vla_rl_nodes.chunking.settings import BestOfN, Bid, ChunkingSettings
from vla_rl_nodes.chunking.strategies.strategy import Models
from vla_rl_nodes.policy.bundle import Bundle
from vla_rl_nodes.policy.critic import CRITIC, Critic
from vla_rl_nodes.policy.flow import CONTEXT, FIELD, FlowField
from vla_rl_nodes.policy.novelty import NOVELTY, Novelty
from vla_rl_nodes.policy.selection import AUTO, choose_engine

WEAK = "weak.onnx"
# What engines are built for ahead of time; the same for most strategies, so that they are found.
USUAL_CANDIDATES = 16


def open_models(
    bundle: Bundle,
    engine: str = AUTO,
    *,
    candidates: int = USUAL_CANDIDATES,
    tell: Callable[[str], None] = lambda line: None,
) -> Models:
    """Every network that a verified bundle holds, checked and tried.

    All of them, also those that the strategy in use does not need: a bundle is good as a whole
    or not at all.

    Args:
        bundle: a verified bundle.
        engine: ``auto`` or the name of one, see policy.selection.
        candidates: most chunks that are drawn at once.
        tell: told which engine is taken, and one line for each faster one on why it is not.

    Raises:
        InputError: the first network that must not run.
    """
    chosen = choose_engine(bundle, engine, candidates=candidates)
    for line in (*chosen.report, f"version {bundle.version} runs on {chosen.engine.name}"):
        tell(line)
    files = bundle.files
    has_flow = bundle.manifest.flow is not None or CONTEXT in files or FIELD in files
    weak = None
    if WEAK in files:
        weak = choose_engine(bundle, engine, candidates=candidates, file=WEAK).engine
    return Models(
        engine=chosen.engine,
        flow=FlowField(bundle) if has_flow else None,
        critic=Critic(bundle) if CRITIC in files else None,
        novelty=Novelty(bundle) if NOVELTY in files else None,
        weak=weak,
    )


def candidates_of(settings: ChunkingSettings) -> int:
    """The number of chunks that the engine of a strategy must be able to draw at once."""
    chosen = settings.strategy
    drawn = chosen.samples if isinstance(chosen, BestOfN | Bid) else 1
    return max(drawn, USUAL_CANDIDATES)
