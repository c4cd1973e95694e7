"""Trains the plane's policies from rows of demonstrations and writes them as signed bundles."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.learner.consistency import one_step
from vla_rl_nodes.learner.evaluate import postfix_error
from vla_rl_nodes.learner.networks import parameter_count
from vla_rl_nodes.learner.optimise import Progress, reproducible, silent
from vla_rl_nodes.learner.plane_bundles import (
    PlaneNetworks,
    Sample,
    export_plane,
    write_plane,
)
from vla_rl_nodes.learner.plane_policy import PlaneFeatures, PlanePolicy, imitated, plane_field
from vla_rl_nodes.learner.plane_recipe import PlaneRecipe
from vla_rl_nodes.learner.plane_stages import (
    TrainingRows,
    train_imitation,
    train_student,
    train_teacher,
)
from vla_rl_nodes.learner.policy import Scales
from vla_rl_nodes.policy.manifest import Training

_CHECKED = 256  # held-out rows that the graphs are compared with torch on


@dataclass(frozen=True)
class PlaneRows:
    """Demonstrations in the plane's contract; N rows.

    Attributes:
        state: the observation, float32 [N, components].
        delay: committed actions at the head of the row's chunk, int64 [N].
        chunk: those, and then how the expert goes on, in action units, float32 [N, H, A].
        episode: which episode the row is from, int64 [N].
    """

    state: NDArray[np.float32]
    delay: NDArray[np.int64]
    chunk: NDArray[np.float32]
    episode: NDArray[np.int64]

    def part(self, which: NDArray[np.bool_]) -> PlaneRows:
        """Some of the rows."""
        return PlaneRows(
            self.state[which], self.delay[which], self.chunk[which], self.episode[which]
        )


@dataclass(frozen=True)
class TrainedPlane:
    """What :func:`train_plane` has made.

    Attributes:
        folder: holds the bundles ``student`` and ``bc``, and the public key of their signer.
        versions: of both bundles, by name.
        metrics: held-out errors, in units of each action axis' spread.
    """

    folder: Path
    versions: dict[str, str]
    metrics: dict[str, float]


def train_plane(
    out: Path,
    seed: int,
    rows: PlaneRows,
    contract: Contract,
    recipe: PlaneRecipe,
    progress: Progress = silent,
) -> TrainedPlane:
    """Trains teacher, student and control, and writes ``<out>/seed<seed>``.

    The bundle ``student`` also holds the teacher and an early checkpoint. Both bundles are signed
    with a key that is made here and forgotten; only its public half is written. The same rows,
    recipe, seed and machine give the same manifests.

    Args:
        out: folder of all training seeds.
        seed: of every random number.
        rows: demonstrations.
        contract: theirs.
        recipe: every hyper-parameter.
        progress: see optimise.Progress.

    Raises:
        InputError: the seed's folder is there already, the rows do not fit the contract or are
            too few, an exported graph differs from the trained one, or nothing can be written.
    """
    folder = out / f"seed{seed}"
    if folder.exists() or folder.is_symlink():
        raise InputError(folder, "is there already", "name a new folder")
    _check(rows, contract, recipe)
    numbers = np.unique(rows.episode)
    held_out = np.isin(rows.episode, numbers[recipe.held_out_every - 1 :: recipe.held_out_every])
    with reproducible(seed, recipe.threads):
        generator = torch.Generator().manual_seed(seed)
        networks = _trained(rows.part(~held_out), contract, recipe, generator, progress)
        exam = rows.part(held_out)
        metrics = _metrics(networks, exam, contract, generator)
        exported = export_plane(networks, _sample(exam, generator), contract, recipe)
    training = Training(
        seed=seed,
        data_sha256=_hash(rows),
        episodes=len(numbers),
        windows=int((~held_out).sum()),
        parameters=parameter_count(networks.student),
        metrics={**metrics, **exported.differences},
    )
    versions = write_plane(folder, exported, contract, recipe, training)
    return TrainedPlane(folder, versions, training.metrics)


def _check(rows: PlaneRows, contract: Contract, recipe: PlaneRecipe) -> None:
    count, action = len(rows.delay), contract.action
    shapes: dict[str, tuple[NDArray[Any], tuple[int, ...]]] = {
        "state": (rows.state, (count, *contract.streams[0].shape)),
        "chunk": (rows.chunk, (count, action.chunk_length, len(action.names))),
        "delay": (rows.delay, (count,)),
        "episode": (rows.episode, (count,)),
    }
    for name, (values, shape) in shapes.items():
        if values.shape != shape:
            raise InputError(
                f"rows: {name}",
                f"is {list(values.shape)}, not {list(shape)}",
                "make the rows for this contract",
            )
        if not np.isfinite(values).all():
            raise InputError(f"rows: {name}", "is not finite", "make the rows again")
    if len(np.unique(rows.episode)) < recipe.held_out_every:
        raise InputError(
            "rows",
            "are of too few episodes to hold one out",
            f"make at least {recipe.held_out_every}",
        )
    if not ((rows.delay >= 0) & (rows.delay <= action.max_delay)).all():
        raise InputError("rows: delay", "is beyond the contract's max_delay", "make them again")


def _trained(
    rows: PlaneRows,
    contract: Contract,
    recipe: PlaneRecipe,
    generator: torch.Generator,
    progress: Progress,
) -> PlaneNetworks:
    state, chunk = torch.from_numpy(rows.state), torch.from_numpy(rows.chunk)
    scales = Scales(state, chunk, contract)
    policy = PlanePolicy(contract, recipe.network, scales)
    with torch.no_grad():
        context = policy.context({}, state)
    ready = TrainingRows(context, scales.normalised(chunk), torch.from_numpy(rows.delay))
    teacher = train_teacher(policy.field, ready, recipe, generator, progress)
    student, weak = train_student(teacher, ready, recipe, generator, progress, recipe.weak_after)
    blank = plane_field(contract, recipe.network)
    control = train_imitation(blank, ready, recipe, generator, progress)
    return PlaneNetworks(scales, teacher, student, weak, control)


def _metrics(
    networks: PlaneNetworks,
    exam: PlaneRows,
    contract: Contract,
    generator: torch.Generator,
) -> dict[str, float]:
    """Mean absolute errors over the open rows, of student and weak by delay, of the control."""
    features = PlaneFeatures(contract.streams[0].names)
    metrics = {}
    for delay in range(contract.action.max_delay + 1):
        rows = exam.part(exam.delay == delay)
        if not len(rows.delay):
            continue
        label = networks.scales.normalised(torch.from_numpy(rows.chunk))
        delays = torch.from_numpy(rows.delay)
        noise = torch.randn(label.shape, generator=generator)
        with torch.no_grad():
            context = features(torch.from_numpy(rows.state))
            chunks = {
                "student": one_step(networks.student, label, context, noise, delays),
                "weak": one_step(networks.weak, label, context, noise, delays),
            }
            if delay == 0:
                chunks["imitation"] = imitated(networks.control, context, 0.0 * noise)
        for name, chunk in chunks.items():
            metrics[f"{name}_error_delay_{delay}"] = postfix_error(chunk, label, delays)
    return metrics


def _sample(exam: PlaneRows, generator: torch.Generator) -> Sample:
    chosen = torch.randint(0, len(exam.delay), (_CHECKED,), generator=generator)
    chunk = torch.from_numpy(exam.chunk)[chosen]
    noise = torch.randn(chunk.shape, generator=generator)
    state, delay = torch.from_numpy(exam.state)[chosen], torch.from_numpy(exam.delay)[chosen]
    return Sample(state, chunk, delay, noise)


def _hash(rows: PlaneRows) -> str:
    total = hashlib.sha256()
    for values in (rows.state, rows.delay, rows.chunk, rows.episode):
        total.update(f"{values.dtype}{values.shape}".encode())
        total.update(np.ascontiguousarray(values).tobytes())
    return total.hexdigest()
