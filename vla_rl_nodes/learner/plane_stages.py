"""The optimisations of the plane's recipe: flow teacher, one-step student, imitation control.

Everywhere the error counts twice: as it is, and as its second difference along the chunk with
the committed rows, where it is zero, before it; that most where it reaches over the seam. The
first alone lets a whole new chunk lie beside the committed actions by a little, which is a jolt
at every seam. The chunk that is best by one measure is best by both.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor

from vla_rl_nodes.learner.consistency import consistency, pseudo_huber
from vla_rl_nodes.learner.flow import corrupt, postfix_mean, prefix_mask, solve
from vla_rl_nodes.learner.networks import ChunkField
from vla_rl_nodes.learner.optimise import Progress, fit
from vla_rl_nodes.learner.plane_policy import imitated
from vla_rl_nodes.learner.plane_recipe import FlowRecipe, PlaneRecipe


@dataclass(frozen=True)
class TrainingRows:
    """N rows: context [N, C], normalised chunk [N, H, A] and delay, int64 [N].

    The delay belongs to its row: its committed actions were planned before what the observation
    shows, and the rest of the chunk is right for just so many of them.
    """

    context: Tensor
    chunk: Tensor
    delay: Tensor

    def __len__(self) -> int:
        return len(self.delay)

    def drawn(self, count: int, generator: torch.Generator) -> TrainingRows:
        """That many rows at random, with replacement."""
        return self.chosen(torch.randint(0, len(self), (count,), generator=generator))

    def chosen(self, which: Tensor) -> TrainingRows:
        """Some of the rows, by index or mask."""
        return TrainingRows(self.context[which], self.chunk[which], self.delay[which])


def second_difference(error: Tensor, mask: Tensor) -> Tensor:
    """Second difference along an error [B, H, A] that is zero in the masked rows and before."""
    padded = torch.nn.functional.pad(torch.where(mask[:, :, None], 0.0, error), (0, 0, 2, 0))
    return padded[:, 2:] - 2 * padded[:, 1:-1] + padded[:, :-2]


def bend_weight(mask: Tensor, recipe: FlowRecipe) -> Tensor:
    """How much the error's second difference counts, [B, H, 1], next to the error itself."""
    first = (~mask).to(torch.int64).cumsum(dim=1)
    at_seam = (first == 1) | (first == 2)
    return recipe.smooth * torch.where(at_seam, recipe.seam, 1.0)[:, :, None]


def train_teacher(
    field: ChunkField,
    rows: TrainingRows,
    recipe: FlowRecipe,
    generator: torch.Generator,
    progress: Progress,
) -> ChunkField:
    """Flow teacher that continues each row's committed actions; trained in place.

    Returns:
        The averaged network.
    """

    def loss() -> Tensor:
        batch = rows.drawn(recipe.teacher.batch, generator)
        noise = torch.randn(batch.chunk.shape, generator=generator)
        time = torch.rand(len(batch), generator=generator)
        mask = prefix_mask(batch.delay, batch.chunk.shape[1])
        x, tau = corrupt(batch.chunk, noise, time, mask)
        # Of the chunk that the velocity leads to. Of the velocity itself, the last stretch before
        # the data would take all of the training, and which way a chunk goes is decided early.
        left = (1 - time).sqrt()[:, None, None]
        error = left * (field(x, tau, batch.context) - (batch.chunk - noise))
        bend = second_difference(error, mask)
        return postfix_mean(error.square() + bend_weight(mask, recipe) * bend.square(), mask)

    average = fit("teacher", field, loss, recipe.teacher, progress)
    assert isinstance(average, ChunkField)
    return average


def train_student(
    teacher: ChunkField,
    rows: TrainingRows,
    recipe: FlowRecipe,
    generator: torch.Generator,
    progress: Progress,
    weak_after: int = 0,
) -> tuple[ChunkField, ChunkField]:
    """One-step student that starts from the teacher's weights, by its trajectories' ends.

    Returns:
        The averaged network, and the network as it was after ``weak_after`` steps, which must be
        fewer than the recipe's.
    """
    settings = recipe.student
    student = copy.deepcopy(teacher).requires_grad_(True)
    early: list[ChunkField] = []
    steps_done = 0

    def loss() -> Tensor:
        nonlocal steps_done
        if steps_done == weak_after:
            early.append(copy.deepcopy(student).requires_grad_(False).eval())
        steps_done += 1
        batch = rows.drawn(settings.batch, generator)
        noise = torch.randn(batch.chunk.shape, generator=generator)
        start = torch.randint(0, settings.teacher_steps, (len(batch),), generator=generator)
        start[torch.rand(len(batch), generator=generator) < settings.from_noise] = 0
        mask = prefix_mask(batch.delay, batch.chunk.shape[1])
        with torch.no_grad():
            path = torch.stack(
                solve(
                    teacher, batch.chunk, batch.context, noise, batch.delay, settings.teacher_steps
                )
            )
        x = path[start, torch.arange(len(start))]
        tau = torch.where(mask, 1.0, (start / settings.teacher_steps)[:, None])
        error = consistency(student, x, tau, batch.context) - path[-1]
        bend = second_difference(error, mask)
        distance, bent = (pseudo_huber(part, settings.huber) for part in (error, bend))
        return postfix_mean(distance + bend_weight(mask, recipe) * bent, mask)

    average = fit("student", student, loss, settings, progress)
    assert isinstance(average, ChunkField)
    return average, early[0]


def train_imitation(
    field: ChunkField,
    rows: TrainingRows,
    recipe: PlaneRecipe,
    generator: torch.Generator,
    progress: Progress,
) -> ChunkField:
    """The control: mean absolute error on the rows without committed actions; in place.

    Returns:
        The averaged network.
    """
    free = rows.chosen(rows.delay == 0)

    def loss() -> Tensor:
        batch = free.drawn(recipe.imitation.batch, generator)
        nothing = torch.zeros_like(batch.chunk)
        error = imitated(field, batch.context, nothing) - batch.chunk
        mask = prefix_mask(batch.delay, nothing.shape[1])
        bend = second_difference(error, mask)
        return (error.abs() + bend_weight(mask, recipe) * bend.abs()).mean()

    average = fit("imitation", field, loss, recipe.imitation, progress)
    assert isinstance(average, ChunkField)
    return average
