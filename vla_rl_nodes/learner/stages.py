"""The three optimisations of a recipe: encoder, flow teacher, one-step student."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from vla_rl_nodes.learner.augment import augmented
from vla_rl_nodes.learner.consistency import trajectory_loss
from vla_rl_nodes.learner.data import Windows
from vla_rl_nodes.learner.flow import flow_loss
from vla_rl_nodes.learner.networks import ChunkField, Encoder
from vla_rl_nodes.learner.optimise import Progress, fit
from vla_rl_nodes.learner.policy import Scales
from vla_rl_nodes.learner.recipe import Recipe, Stage

_BATCH = 256


class Imitation(nn.Module):
    """Encoder with two heads that only its training uses: the chunk, and where the cube is."""

    def __init__(self, encoder: Encoder, proprio: int, chunk: int, labels: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.act = nn.Sequential(
            nn.Linear(encoder.size + proprio, 256),
            nn.SiLU(),
            nn.Linear(256, 256),
            nn.SiLU(),
            nn.Linear(256, chunk),
        )
        # From the images alone: the encoder must see the cube, not infer it from the arm.
        self.locate = nn.Sequential(
            nn.Linear(encoder.size, 128), nn.SiLU(), nn.Linear(128, labels)
        )

    def forward(self, images: Mapping[str, Tensor], proprio: Tensor) -> tuple[Tensor, Tensor]:
        seen = self.encoder(images)
        return self.act(torch.cat([seen, proprio], dim=1)), self.locate(seen)


def train_encoder(
    encoder: Encoder,
    scales: Scales,
    windows: Windows,
    recipe: Recipe,
    generator: torch.Generator,
    progress: Progress,
) -> Imitation:
    """Encoder by imitation: L1 on the chunk, and the auxiliary labels.

    Returns:
        The averaged encoder with its heads; ``locate`` gives the labels in their own units
        times the spread returned by :func:`label_scales`.
    """
    label = scales.normalised(windows.chunk).flatten(1)
    proprio = scales.proprio(windows.proprio)
    middle, spread = label_scales(windows)
    auxiliary = (windows.auxiliary - middle) / spread
    module = Imitation(encoder, proprio.shape[1], label.shape[1], auxiliary.shape[1])

    def loss() -> Tensor:
        rows = _rows(len(windows), recipe.encoder, generator)
        images = _augmented(windows, rows, recipe, generator)
        chunk, located = module(images, proprio[rows])
        seen = (located - auxiliary[rows]).abs().mean()
        result: Tensor = (chunk - label[rows]).abs().mean() + recipe.auxiliary.weight * seen
        return result

    average = fit("encoder", module, loss, recipe.encoder, progress)
    assert isinstance(average, Imitation)
    return average


def label_scales(windows: Windows) -> tuple[Tensor, Tensor]:
    """Mean and spread of the auxiliary labels, [Q] each."""
    return windows.auxiliary.mean(0), windows.auxiliary.std(0).clamp_min(1e-3)


def frozen_contexts(
    encoder: Encoder,
    scales: Scales,
    windows: Windows,
    recipe: Recipe,
    generator: torch.Generator,
) -> Tensor:
    """Contexts [copies + 1, N, C] of the frozen encoder: plain images, then augmented ones."""
    proprio = scales.proprio(windows.proprio)
    copies = []
    with torch.no_grad():
        for copy_index in range(recipe.augmentation.copies + 1):
            parts = []
            for rows in torch.split(torch.arange(len(windows)), _BATCH):
                plain = {key: value[rows] for key, value in windows.images.items()}
                changed = _augmented(windows, rows, recipe, generator) if copy_index else plain
                parts.append(torch.cat([encoder(changed), proprio[rows]], dim=1))
            copies.append(torch.cat(parts))
    return torch.stack(copies)


def train_teacher(
    field: ChunkField,
    label: Tensor,
    contexts: Tensor,
    max_delay: int,
    recipe: Recipe,
    generator: torch.Generator,
    progress: Progress,
) -> ChunkField:
    """Flow teacher on frozen contexts, with committed prefixes of 0 to ``max_delay`` rows.

    Args:
        field: the network, trained in place.
        label: normalised chunks [N, H, A].
        contexts: [copies, N, C].
        max_delay: longest prefix.
        recipe: the numbers.
        generator: source of the random numbers.
        progress: see optimise.Progress.

    Returns:
        The averaged network.
    """

    def loss() -> Tensor:
        data, context, noise, delay = _draw(label, contexts, max_delay, recipe.teacher, generator)
        time = torch.rand(len(data), generator=generator)
        return flow_loss(field, data, context, noise, time, delay, recipe.smooth)

    average = fit("teacher", field, loss, recipe.teacher, progress)
    assert isinstance(average, ChunkField)
    return average


def train_student(
    teacher: ChunkField,
    label: Tensor,
    contexts: Tensor,
    max_delay: int,
    recipe: Recipe,
    generator: torch.Generator,
    progress: Progress,
) -> ChunkField:
    """One-step student that starts from the teacher's weights; arguments as train_teacher."""
    settings = recipe.student
    student = copy.deepcopy(teacher).requires_grad_(True)

    def loss() -> Tensor:
        data, context, noise, delay = _draw(label, contexts, max_delay, settings, generator)
        start = torch.randint(0, settings.teacher_steps, (len(data),), generator=generator)
        start[torch.rand(len(data), generator=generator) < settings.from_noise] = 0
        return trajectory_loss(
            student,
            teacher,
            data,
            context,
            noise,
            delay,
            start,
            steps=settings.teacher_steps,
            scale=settings.huber,
            smooth=recipe.smooth,
        )

    average = fit("student", student, loss, settings, progress)
    assert isinstance(average, ChunkField)
    return average


def _rows(count: int, stage: Stage, generator: torch.Generator) -> Tensor:
    return torch.randint(0, count, (stage.batch,), generator=generator)


def _augmented(
    windows: Windows, rows: Tensor, recipe: Recipe, generator: torch.Generator
) -> dict[str, Tensor]:
    return {
        key: augmented(images, rows, recipe.augmentation, generator)
        for key, images in windows.images.items()
    }


def _draw(
    label: Tensor, contexts: Tensor, max_delay: int, stage: Stage, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    rows = _rows(len(label), stage, generator)
    copies = torch.randint(0, len(contexts), (stage.batch,), generator=generator)
    data = label[rows]
    noise = torch.randn(data.shape, generator=generator)
    delay = torch.randint(0, max_delay + 1, (stage.batch,), generator=generator)
    return data, contexts[copies, rows], noise, delay
