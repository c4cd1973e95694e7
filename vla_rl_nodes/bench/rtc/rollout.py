"""Episodes of the plane's tasks under one strategy and one injected delay."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.chunking.delayed import DelayedWorker
from vla_rl_nodes.chunking.runtime import ChunkRuntime
from vla_rl_nodes.chunking.settings import ChunkingSettings
from vla_rl_nodes.chunking.strategies.strategy import Job, Plan, Strategy
from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.sim.plane.world import PlaneWorld

HELD = -1  # the chunk id of a tick without an action


@dataclass(frozen=True)
class Trace:
    """One episode.

    Attributes:
        success: whether the task was done in time and nothing was touched.
        ticks: until success or the end.
        actions: executed, zero where the point was held [ticks, A].
        chunk_ids: of the chunk that each came from, :data:`HELD` where it was held [ticks].
        candidates: samples drawn, of all chunks, where the strategy says.
        chunks: taken over.
    """

    success: bool
    ticks: int
    actions: NDArray[np.float64]
    chunk_ids: NDArray[np.int64]
    candidates: int
    chunks: int


def run_episodes(
    contract: Contract,
    settings: ChunkingSettings,
    strategy: Strategy,
    delay: int,
    task: str,
    seeds: Sequence[int],
) -> list[Trace]:
    """Runs one episode a seed, each with its own queue, and inference that takes ``delay`` ticks.

    The runtime is the live node's; only its worker keeps time in ticks. The delay estimate is
    warm, as after a first episode: what is measured is steady operation.
    """
    world = PlaneWorld([task] * len(seeds), list(seeds))
    period_ms = 1000.0 / contract.policy_hz
    workers: list[DelayedWorker[Job, Plan]] = []
    runtimes = []
    for seed in seeds:
        worker: DelayedWorker[Job, Plan] = DelayedWorker(strategy.plan, lambda _: delay, period_ms)
        runtime = ChunkRuntime(contract, settings, strategy, "bench", worker, seed)
        for _ in range(2):
            runtime.queue.estimate.observe(delay)
        workers.append(worker)
        runtimes.append(runtime)
    axes = len(contract.action.names)
    actions: list[list[NDArray[np.float64]]] = [[] for _ in seeds]
    chunk_ids: list[list[int]] = [[] for _ in seeds]
    candidates = [0] * len(seeds)
    while world.running.any():
        step = np.zeros((len(seeds), axes))
        seen = world.state.observation()
        stamp = world.tick * contract.period_ns
        for k in np.flatnonzero(world.running):
            workers[k].begin_tick()
            acted = runtimes[k].tick(stamp, {"state": seen[k]})
            if acted.problems:
                raise RuntimeError(f"{strategy.name} at delay {delay}: {acted.problems[0]}")
            if acted.action is not None:
                step[k] = acted.action
            actions[k].append(step[k].copy())
            chunk_ids[k].append(HELD if acted.action is None else int(acted.values["chunk_id"]))
            if acted.chunk is not None:
                candidates[k] += int(acted.values.get("candidates", 1))
        world.step(step)
    return [
        Trace(
            bool(world.success[k]),
            int(world.finished_at[k]),
            np.array(actions[k]),
            np.array(chunk_ids[k], dtype=np.int64),
            candidates[k],
            runtimes[k].counts.used,
        )
        for k in range(len(seeds))
    ]
