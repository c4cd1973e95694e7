"""The plane's optimisations: prefixes are continued, seams count, rows keep their delay."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor

from vla_rl_nodes.learner.consistency import one_step
from vla_rl_nodes.learner.flow import prefix_mask, solve
from vla_rl_nodes.learner.networks import ChunkField
from vla_rl_nodes.learner.optimise import silent
from vla_rl_nodes.learner.plane_policy import imitated, start_at_minus_x
from vla_rl_nodes.learner.plane_recipe import PlaneRecipe, load_plane_recipe
from vla_rl_nodes.learner.plane_stages import (
    TrainingRows,
    bend_weight,
    second_difference,
    train_imitation,
    train_student,
    train_teacher,
)


@pytest.fixture(scope="module")
def recipe() -> PlaneRecipe:
    shipped = load_plane_recipe("plane_consistency")
    small = {"batch": 128, "average": 0.98}
    return shipped.model_copy(
        update={
            "teacher": shipped.teacher.model_copy(update={**small, "steps": 450}),
            "student": shipped.student.model_copy(update={**small, "steps": 200}),
            "imitation": shipped.imitation.model_copy(update={**small, "steps": 400}),
        }
    )


def field(seed: int = 0) -> ChunkField:
    torch.manual_seed(seed)
    made = ChunkField(16, 1, 2, width=64, blocks=2, condition=48)
    start_at_minus_x(made)
    return made


def rows(count: int, seed: int) -> TrainingRows:
    """Ramps towards what the context says; those with a prefix begin where that has ended.

    The prefix is constant, so what comes after it can be told from context, prefix and delay
    alone; the mode, which only the prefix shows, stands in its sign.
    """
    generator = torch.Generator().manual_seed(seed)
    context = torch.rand(count, 2, generator=generator)
    mode = torch.where(torch.rand(count, generator=generator) < 0.5, -1.0, 1.0)
    delay = torch.randint(0, 7, (count,), generator=generator)
    after = (torch.arange(16)[None] - delay[:, None] + 1).clamp_min(0)
    chunk = mode[:, None] * (1.0 + 0.05 * context[:, :1] * after)
    return TrainingRows(context - 0.5, chunk[:, :, None], delay)


def test_second_difference_by_hand() -> None:
    error = torch.tensor([5.0, 7.0, 1.0, 2.0, 4.0])[None, :, None]
    mask = prefix_mask(torch.tensor([2]), 5)
    bend = second_difference(error, mask)[0, :, 0]
    # Padded: 0 0 | 0 0 1 2 4
    assert bend.tolist() == [0.0, 0.0, 1.0, 0.0, 1.0]
    # Without a prefix, against the actions before the chunk.
    free = second_difference(error, prefix_mask(torch.tensor([0]), 5))[0, :, 0]
    assert free.tolist() == [5.0, -3.0, -8.0, 7.0, 1.0]


def test_what_reaches_over_the_seam_counts_most(recipe: PlaneRecipe) -> None:
    changed = recipe.model_copy(update={"smooth": 0.5, "seam": 4.0})
    weight = bend_weight(prefix_mask(torch.tensor([2, 0]), 5), changed)
    assert weight.shape == (2, 5, 1)
    assert weight[0, 2:, 0].tolist() == [2.0, 2.0, 0.5]
    assert weight[1, :, 0].tolist() == [2.0, 2.0, 0.5, 0.5, 0.5]


@pytest.fixture(scope="module")
def trained(recipe: PlaneRecipe) -> tuple[ChunkField, ChunkField, ChunkField]:
    """Teacher, student and the student after 3 steps, on the ramps."""
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    data = rows(20_000, 1)
    teacher = train_teacher(field(), data, recipe, generator, silent)
    student, early = train_student(teacher, data, recipe, generator, silent, 3)
    return teacher, student, early


def drawn(net: ChunkField, data: TrainingRows) -> Tensor:
    noise = torch.randn(data.chunk.shape, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        return one_step(net, data.chunk, data.context, noise, data.delay)


def test_one_step_continues_what_is_committed(
    trained: tuple[ChunkField, ChunkField, ChunkField],
) -> None:
    exam = rows(1000, 2)
    exam = exam.chosen(exam.delay > 0)
    chunk = drawn(trained[1], exam)
    error = (chunk - exam.chunk).abs()[~prefix_mask(exam.delay, 16)]
    assert error.mean() < 0.1  # the modes are 2 apart
    switched = chunk.mean(dim=1).sign() != exam.chunk[:, 0].sign()
    assert switched.float().mean() < 0.01


def test_without_a_prefix_both_modes_are_drawn(
    trained: tuple[ChunkField, ChunkField, ChunkField],
) -> None:
    exam = rows(2000, 3)
    exam = exam.chosen(exam.delay == 0)
    middle = drawn(trained[1], exam).mean(dim=(1, 2))
    assert 0.25 < (middle > 0).float().mean() < 0.75
    assert (middle.abs() > 0.5).float().mean() > 0.8  # and hardly anything in between


def test_the_student_ends_where_its_teacher_does(
    trained: tuple[ChunkField, ChunkField, ChunkField],
) -> None:
    teacher, student, early = trained
    exam = rows(500, 4)
    noise = torch.randn(exam.chunk.shape, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        end = solve(teacher, exam.chunk, exam.context, noise, exam.delay, 10)[-1]
    apart = (drawn(student, exam) - end).abs().mean()
    assert apart < 0.7 * (drawn(early, exam) - end).abs().mean()


def test_the_early_copy_is_as_early_as_asked(recipe: PlaneRecipe) -> None:
    teacher, data = field(3), rows(500, 1)
    short = recipe.model_copy(update={"student": recipe.student.model_copy(update={"steps": 4})})
    copies = [
        train_student(
            copy.deepcopy(teacher), data, short, torch.Generator().manual_seed(0), silent, after
        )[1]
        for after in (0, 2)
    ]
    pairs = [list(zip(c.parameters(), teacher.parameters(), strict=True)) for c in copies]
    assert all(torch.equal(a, b) for a, b in pairs[0])
    assert not all(torch.equal(a, b) for a, b in pairs[1])


def test_the_control_learns_from_rows_without_a_prefix_alone(recipe: PlaneRecipe) -> None:
    data = rows(4000, 6)
    label = (data.context[:, :1] * torch.ones(1, 16))[:, :, None]
    poisoned = torch.where((data.delay == 0)[:, None, None], label, 50.0)
    net = train_imitation(
        field(), TrainingRows(data.context, poisoned, data.delay), recipe,
        torch.Generator().manual_seed(0), silent,
    )  # fmt: skip
    with torch.no_grad():
        given = imitated(net, data.context, torch.zeros_like(label))
    assert (given - label).abs().mean() < 0.05
