"""The policies that the benchmark runs: trained once, kept in a folder."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.errors import InputError

CONTRACT = "plane"
RECIPE = "plane_consistency"
TOY, TOY_RECIPE = "toy.onnx", "plane_toy"


@dataclass(frozen=True)
class TrainedModels:
    """Folders of the plane's policies, one per training seed, and the toy's graph."""

    policies: tuple[Path, ...]
    toy: Path


def trained_models(
    folder: Path, training_seeds: int, processes: int, console: Console
) -> TrainedModels:
    """The policies in a folder; what is not there is trained, some minutes a seed.

    Args:
        folder: of all training seeds.
        training_seeds: how many are wanted, from 0 on.
        processes: trainings at once.
        console: shows the progress.

    Raises:
        InputError: something has to be trained and torch is not installed.
    """
    policies = tuple(folder / f"seed{seed}" for seed in range(training_seeds))
    missing = [path for path in (folder / TOY, *policies) if not path.exists()]
    if missing:
        _check_torch(missing)
        with Progress(console=console, transient=True) as progress:
            task = progress.add_task("training", total=len(missing))
            for _ in _trained(missing, processes):
                progress.update(task, advance=1)
    return TrainedModels(policies, folder / TOY)


def _trained(missing: Sequence[Path], processes: int) -> list[Path]:
    done = []
    # Forking a process with threads in it can hang.
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        for future in as_completed([pool.submit(_train, path) for path in missing]):
            done.append(future.result())
    return done


def _train(path: Path) -> Path:
    """Trains one folder in a process of its own."""
    if path.name == TOY:
        from vla_rl_nodes.learner.plane_recipe import load_toy_recipe
        from vla_rl_nodes.learner.plane_toy import train_toy
        from vla_rl_nodes.sim.plane.toy import toy_rows

        toy_recipe = load_toy_recipe(TOY_RECIPE)
        shown = toy_rows(toy_recipe.rows, 0)
        train_toy(path, 0, shown.state, shown.chunk, toy_recipe)
        return path
    from vla_rl_nodes.learner.plane import PlaneRows, train_plane
    from vla_rl_nodes.learner.plane_recipe import load_plane_recipe
    from vla_rl_nodes.sim.plane.demonstrations import demonstrations

    seed = int(path.name.removeprefix("seed"))
    recipe = load_plane_recipe(RECIPE)
    rows = demonstrations(recipe.episodes, seed)
    given = PlaneRows(rows.state, rows.delay, rows.chunk, rows.episode)
    train_plane(path.parent, seed, given, load_contract(CONTRACT), recipe)
    return path


def _check_torch(missing: Sequence[Path]) -> None:
    try:
        import torch
    except ImportError as error:
        raise InputError(
            missing[0], "has to be trained, and torch is not installed",
            "install the [learner] extra or give --models",
        ) from error  # fmt: skip
    del torch
