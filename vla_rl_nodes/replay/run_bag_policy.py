"""A bundle's policy at the ticks of a bag: what it proposes for what was seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.chunking.delayed import DelayedWorker
from vla_rl_nodes.chunking.following import FOLLOWED
from vla_rl_nodes.chunking.queue import Merge
from vla_rl_nodes.chunking.runtime import ChunkRuntime
from vla_rl_nodes.chunking.settings import ChunkingSettings
from vla_rl_nodes.chunking.strategies.strategy import Job, Plan, Strategy
from vla_rl_nodes.contract.observation import Observation
from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.replay.run_bag_timing import (
    RecordedEstimate,
    RecordedWorker,
    Reported,
    Timing,
)

Array = NDArray[np.float64]
UNKNOWN_DELAY = 1  # ticks that a chunk takes where the record tells no delays


@dataclass(frozen=True)
class Proposals:
    """What a policy proposes at the ticks [T] of a bag.

    Attributes:
        actions: [T, A], NaN rows where nothing was planned or seen.
        in_step: bool [T]: the action is of the same request, and as far into its chunk, as the
            recorded one; only there the two can be compared as answers to the same question.
        chunks: how many were used.
        starved: ticks without an action after the first one.
        problems: one line each.
    """

    actions: Array
    in_step: NDArray[np.bool_]
    chunks: int
    starved: int
    problems: tuple[str, ...]


def own_schedule(timing: Timing, strategy: Strategy, settings: ChunkingSettings) -> str:
    """Why a strategy cannot ask when the recorded one asked; empty where it can.

    Args:
        timing: of the record.
        strategy: that is to plan.
        settings: of it.
    """
    if not timing.asked:
        return f"no chunk is recorded: each takes {UNKNOWN_DELAY} tick"
    if strategy.merge is Merge.WAIT:
        return f"{strategy.name} stands still for each chunk"
    early = [a for a in timing.asked.values() if a.used is not None]
    if any(a.used is not None and a.used < max(settings.replan_every, a.prefix) for a in early):
        return f"{strategy.name} does not ask so often"
    return ""


def propose(
    strategy: Strategy,
    contract: Contract,
    settings: ChunkingSettings,
    reported: Sequence[Reported],
    observations: Sequence[Observation | None],
    timing: Timing,
) -> Proposals:
    """Lets a strategy plan at every tick of a bag, as the policy node does; no clock is read.

    Chunks are asked for at the recorded ticks, with the recorded number of committed actions and
    noise, and arrive when they did. The committed actions are the strategy's own. Where it cannot
    ask at those ticks (see :func:`own_schedule`), it asks when it would by itself, and its n-th
    chunk takes as long as the n-th recorded one, over and over.

    Args:
        strategy: of an opened bundle.
        contract: chunk length, axes and rate.
        settings: the strategy's.
        reported: the ticks [T].
        observations: what was seen at each, None where that cannot be rebuilt.
        timing: of the record.
    """
    delays = timing.delays or [UNKNOWN_DELAY]
    recorded = RecordedWorker(strategy.plan, timing)
    own: DelayedWorker[Job, Plan] = DelayedWorker(
        strategy.plan, lambda job: delays[job % len(delays)], contract.period_ns / 1e6
    )
    by_record = not own_schedule(timing, strategy, settings)
    runtime = ChunkRuntime(
        contract, settings, strategy, "", recorded if by_record else own, timing.seed
    )
    queue = runtime.queue
    if by_record:
        queue.estimate = RecordedEstimate(queue.max_delay, recorded, timing)
    actions = np.full((len(reported), len(contract.action.names)), np.nan)
    in_step = np.zeros(len(reported), dtype=np.bool_)
    problems: list[str] = []
    last = reported[0].number - 1 if reported else 0
    following = FOLLOWED
    for row, (tick, seen) in enumerate(zip(reported, observations, strict=True)):
        if by_record:
            recorded.row = -1
            for _ in range(tick.number - last - 1):  # the record lost them, the policy went on
                runtime.tick(tick.stamp_ns, {}, following)
        recorded.row, last = row, tick.number
        if tick.blind or (seen is None and not by_record):
            continue
        own.begin_tick()
        following = following.turned(tick.followed)
        # Where nothing is there to see, nothing is asked for either.
        acted = runtime.tick(tick.stamp_ns, seen or {}, following)
        problems += acted.problems
        if acted.action is None:
            in_step[row] = tick.chunk_index < 0
            continue
        actions[row] = acted.action
        same = acted.values["noise_seed"] == str(tick.noise_seed)
        in_step[row] = same and acted.values["chunk_index"] == str(tick.chunk_index)
    counts = queue.counts
    return Proposals(actions, in_step, counts.used, counts.starved, tuple(problems))
