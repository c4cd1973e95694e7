"""Every strategy at every delay on every task, for every training seed, in parallel."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from vla_rl_nodes.bench.rtc.rollout import Trace, run_episodes
from vla_rl_nodes.chunking.models import open_models
from vla_rl_nodes.chunking.settings import load_chunking
from vla_rl_nodes.chunking.strategies.make import make_strategy
from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.policy.bundle import load_bundle
from vla_rl_nodes.policy.trust import trusted_keys
from vla_rl_nodes.sim.plane.state import TASKS

CONTRACT = "plane"
# Far from any seed that training data are drawn with.
FIRST_EPISODE = 1_000_000_000


@dataclass(frozen=True)
class Row:
    """A line of the table: a shipped strategy and the policy that it runs.

    Attributes:
        name: in the table.
        chunking: of config/chunking.
        bundle: ``student`` or ``bc``.
        baseline: whether the prefix student has to beat it.
    """

    name: str
    chunking: str
    bundle: str = "student"
    baseline: bool = False


ROWS = (
    Row("prefix", "prefix"),
    Row("prefix_teacher", "prefix_teacher"),
    Row("best_of_n", "best_of_n"),
    Row("guidance", "guidance"),
    Row("guidance_identity", "guidance_identity"),
    Row("sync", "sync", baseline=True),
    Row("naive_async", "naive_async", baseline=True),
    Row("temporal_ensemble", "temporal_ensemble", baseline=True),
    Row("bid", "bid", baseline=True),
    Row("bc", "naive_async", "bc", baseline=True),
)


@dataclass(frozen=True)
class Unit:
    """What one process does at a time: one row with one trained policy at one delay."""

    row: Row
    models: Path  # folder of the training seed
    trained: int  # index of the training seed
    delay: int
    episodes: int  # a task
    seed: int


@dataclass(frozen=True)
class Outcome:
    """The traces of a unit, by task."""

    unit: Unit
    traces: dict[str, list[Trace]]


def run_unit(unit: Unit) -> Outcome:
    """Runs one unit.

    The episodes are the same for every row, and others for every training seed.

    Raises:
        InputError: a bundle is damaged or lacks what the strategy needs.
    """
    contract = load_contract(CONTRACT)
    bundle = load_bundle(unit.models / unit.row.bundle, contract, trusted_keys(unit.models))
    settings = load_chunking(unit.row.chunking)
    strategy = make_strategy(settings, open_models(bundle, "onnxruntime-cpu"))
    first = FIRST_EPISODE + (unit.seed * 1000 + unit.trained) * 10_000
    seeds = range(first, first + unit.episodes)
    return Outcome(
        unit,
        {
            task: run_episodes(contract, settings, strategy, unit.delay, task, seeds)
            for task in TASKS
        },
    )


def run_matrix(
    model_folders: Sequence[Path],
    rows: Sequence[Row],
    delays: Sequence[int],
    episodes: int,
    seed: int,
    processes: int,
) -> Iterator[Outcome]:
    """Runs everything and yields what is done, in any order.

    Args:
        model_folders: one per training seed, with its bundles and public key.
        rows: of the table.
        delays: injected, control ticks.
        episodes: a task, delay and training seed.
        seed: of the episodes and of the sampling noise.
        processes: at once.
    """
    units = [
        Unit(row, folder, trained, delay, episodes, seed)
        for row in rows
        for trained, folder in enumerate(model_folders)
        for delay in delays
    ]
    # Forking a process with threads in it can hang.
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        for future in as_completed([pool.submit(run_unit, unit) for unit in units]):
            yield future.result()


def usable_processes() -> int:
    """One per core that this process may use."""
    return len(os.sched_getaffinity(0))
