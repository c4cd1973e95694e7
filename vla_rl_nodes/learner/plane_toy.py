"""Trains the one-dimensional toy: flow teacher, one-step student, one ONNX file."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.learner.consistency import one_step
from vla_rl_nodes.learner.export import check_against_torch, onnx_bytes
from vla_rl_nodes.learner.flow import prefix_mask
from vla_rl_nodes.learner.networks import ChunkField
from vla_rl_nodes.learner.optimise import Progress, reproducible, silent
from vla_rl_nodes.learner.plane_policy import start_at_minus_x
from vla_rl_nodes.learner.plane_recipe import ToyRecipe
from vla_rl_nodes.learner.plane_stages import TrainingRows, train_student, train_teacher

LONGEST_PREFIX = 6
_CHECKED = 64


class ToyPolicy(nn.Module):
    """State, prefix, delay and noise -> chunk [B, H, 1], as learner.policy.Policy."""

    def __init__(self, field: ChunkField, mean: Tensor, spread: Tensor) -> None:
        """The student's network, and the state's mean and spread, both [S]."""
        super().__init__()
        self.field = field
        self.register_buffer("mean", mean)
        self.register_buffer("spread", spread)

    def context(self, state: Tensor) -> Tensor:
        """The state [B, S] in units of its spread."""
        return (state - self.get_buffer("mean")) / self.get_buffer("spread")

    def forward(self, state: Tensor, prefix: Tensor, delay: Tensor, noise: Tensor) -> Tensor:
        ends = one_step(self.field, prefix, self.context(state), noise, delay)
        committed = prefix_mask(delay, prefix.shape[1])[:, :, None]
        return torch.where(committed, prefix, ends)


def train_toy(
    path: Path,
    seed: int,
    state: NDArray[np.float32],
    chunk: NDArray[np.float32],
    recipe: ToyRecipe,
    progress: Progress = silent,
) -> None:
    """Trains teacher and student on any delay up to :data:`LONGEST_PREFIX`, writes ``path``.

    Args:
        path: the new ONNX file.
        seed: of every random number.
        state: what is observed, float32 [N, S].
        chunk: demonstrations, float32 [N, H, 1], of about unit size.
        recipe: every hyper-parameter.
        progress: see optimise.Progress.

    Raises:
        InputError: the file is there already or cannot be written, or its graph differs from the
            trained network.
    """
    if path.exists() or path.is_symlink():
        raise InputError(path, "is there already", "name a new file")
    with reproducible(seed, recipe.threads):
        generator = torch.Generator().manual_seed(seed)
        states, label = torch.from_numpy(state), torch.from_numpy(chunk)
        net = recipe.network
        field = ChunkField(
            label.shape[1],
            label.shape[2],
            states.shape[1],
            width=net.width,
            blocks=net.blocks,
            condition=net.condition,
        )
        start_at_minus_x(field)
        policy = ToyPolicy(field, states.mean(0), states.std(0))
        delay = torch.randint(0, LONGEST_PREFIX + 1, (len(label),), generator=generator)
        rows = TrainingRows(policy.context(states), label, delay)
        teacher = train_teacher(field, rows, recipe, generator, progress)
        policy.field, _ = train_student(teacher, rows, recipe, generator, progress)
        policy.requires_grad_(False).eval()
        example = {
            "state": states[:_CHECKED],
            "prefix": label[:_CHECKED],
            "delay": delay[:_CHECKED],
            "noise": torch.randn(label[:_CHECKED].shape, generator=generator),
        }
        model = onnx_bytes(policy, example, ["chunk"])
        check_against_torch(path.name, model, example, [policy(*example.values())])
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        draft.write_bytes(model)
        draft.replace(path)  # whole or not at all
    except OSError as error:
        reason = (error.strerror or "failed").lower()
        raise InputError(path, f"cannot be written ({reason})", "check the path") from error
