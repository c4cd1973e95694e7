"""The one-step student: boundary condition, prefix and the two-mode toy of real-time chunking."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import Tensor

from vla_rl_nodes.learner.consistency import (
    consistency,
    one_step,
    pseudo_huber,
    trajectory_loss,
)
from vla_rl_nodes.learner.flow import flow_loss, prefix_mask, solve
from vla_rl_nodes.learner.networks import ChunkField
from vla_rl_nodes.learner.optimise import fit
from vla_rl_nodes.learner.recipe import Stage

pytestmark = pytest.mark.learner

LENGTH = 16


def random_field(axes: int, context: int) -> ChunkField:
    torch.manual_seed(2)
    network = ChunkField(LENGTH, axes, context, width=32, blocks=2, condition=16)
    for parameter in network.parameters():  # blocks start as the identity
        torch.nn.init.normal_(parameter, std=0.2)
    return network


def test_at_the_data_end_it_is_the_identity() -> None:
    field = random_field(5, 3)
    x, context = torch.randn(8, LENGTH, 5), torch.randn(8, 3)
    assert torch.equal(consistency(field, x, torch.ones(8, LENGTH), context), x)
    assert not torch.equal(consistency(field, x, torch.full((8, LENGTH), 0.99), context), x)


def test_committed_rows_pass_through_exactly_and_steer_the_rest() -> None:
    field = random_field(5, 3)
    prefix, noise = torch.randn(14, LENGTH, 5), torch.randn(14, LENGTH, 5)
    context, delay = torch.randn(14, 3), torch.arange(14) % 7
    mask = prefix_mask(delay, LENGTH)
    chunk = one_step(field, prefix, context, noise, delay)
    assert torch.equal(chunk[mask], prefix[mask])
    ignored = torch.where(mask[:, :, None], prefix, 1e6)
    assert torch.equal(one_step(field, ignored, context, noise, delay), chunk)
    steered = one_step(field, prefix + 0.5, context, noise, delay)
    assert torch.equal(steered[delay == 0], chunk[delay == 0])
    assert not torch.allclose(steered[delay == 6, 6:], chunk[delay == 6, 6:])


def test_pseudo_huber_is_squared_near_zero_and_absolute_far_away() -> None:
    near, far = torch.tensor([1e-3]), torch.tensor([50.0])
    assert torch.allclose(pseudo_huber(near, 0.1), near.square() / 0.2, rtol=1e-3)
    assert torch.allclose(pseudo_huber(far, 0.1), far - 0.1, atol=1e-3)


def test_a_student_that_is_right_has_no_loss() -> None:
    """Teacher with a straight flow: its own velocity is the consistency function."""
    data, context = torch.randn(12, LENGTH, 2), torch.randn(12, 3)
    noise = torch.randn(12, LENGTH, 2)

    def straight(x: Tensor, tau: Tensor, c: Tensor) -> Tensor:
        return data - noise

    delay = torch.arange(12) % 7
    arguments = (data, context, noise, delay, torch.arange(12) % 8)
    right = trajectory_loss(straight, straight, *arguments, steps=8, scale=0.03)
    assert float(right) < 1e-6

    def late(x: Tensor, tau: Tensor, c: Tensor) -> Tensor:
        return straight(x, tau, c) + 1.0

    assert float(trajectory_loss(late, straight, *arguments, steps=8, scale=0.03)) > 0.1


def two_modes(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Chunks that go round an obstacle on one side or the other; the context is the phase."""
    mode = torch.where(torch.rand(count, generator=generator) < 0.5, -1.0, 1.0)
    phase = torch.rand(count, generator=generator)
    along = torch.arange(LENGTH) / LENGTH
    size = 1 + 0.1 * torch.randn(count, 1, generator=generator)
    shape = 0.8 + 0.4 * torch.sin(2 * math.pi * (phase[:, None] + along))
    chunk = mode[:, None] * size * shape + 0.05 * torch.randn(count, LENGTH, generator=generator)
    turn = 2 * math.pi * phase
    return chunk[:, :, None], torch.stack([turn.sin(), turn.cos()], dim=1), mode


@pytest.fixture(scope="module")
def toy() -> tuple[ChunkField, ChunkField]:
    """Teacher and student of the two-mode toy."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    batch = 256
    stage = Stage(steps=800, batch=batch, learning_rate=2e-3, weight_decay=0.0, average=0.99)
    field = ChunkField(LENGTH, 1, 2, width=96, blocks=2, condition=32)

    def draw() -> tuple[Tensor, Tensor, Tensor, Tensor]:
        data, context, _ = two_modes(batch, generator)
        noise = torch.randn(data.shape, generator=generator)
        return data, context, noise, torch.randint(0, 7, (batch,), generator=generator)

    def teach() -> Tensor:
        data, context, noise, delay = draw()
        return flow_loss(
            field, data, context, noise, torch.rand(batch, generator=generator), delay
        )

    teacher = fit("teacher", field, teach, stage)
    assert isinstance(teacher, ChunkField)
    student = copy.deepcopy(teacher).requires_grad_(True)

    def distil() -> Tensor:
        start = torch.randint(0, 8, (batch,), generator=generator)
        start[torch.rand(batch, generator=generator) < 0.5] = 0
        return trajectory_loss(student, teacher, *draw(), start, steps=8, scale=0.03)

    distilled = fit("student", student, distil, stage.model_copy(update={"steps": 500}))
    assert isinstance(distilled, ChunkField)
    return teacher, distilled


def test_one_step_continues_the_committed_mode(toy: tuple[ChunkField, ChunkField]) -> None:
    """The bars of real-time chunking for one evaluation: prefix error 0, mode switches at most
    0.5 %, and a jump at the seam at most 1.5 times the natural one (95th percentiles)."""
    generator = torch.Generator().manual_seed(99)
    data, context, mode = two_modes(4000, generator)
    noise = torch.randn(data.shape, generator=generator)
    delay = torch.full((4000,), 4)
    with torch.no_grad():
        chunk = one_step(toy[1], data, context, noise, delay)
    assert torch.equal(chunk[:, :4], data[:, :4])
    switched = (chunk[:, 4:, 0].sign() != mode[:, None]).any(dim=1)
    assert float(switched.float().mean()) <= 0.005

    def seam(x: Tensor) -> float:
        return float((x[:, 4, 0] - x[:, 3, 0]).abs().quantile(0.95))

    assert seam(chunk) <= 1.5 * seam(data)


def test_without_a_prefix_both_modes_come_and_never_their_mean(
    toy: tuple[ChunkField, ChunkField],
) -> None:
    generator = torch.Generator().manual_seed(98)
    data, context, mode = two_modes(4000, generator)
    noise = torch.randn(data.shape, generator=generator)
    none = torch.zeros(4000, dtype=torch.int64)
    with torch.no_grad():
        chunk = one_step(toy[1], data, context, noise, none)
    side = chunk[:, :, 0].mean(dim=1)
    assert 0.4 < float((side > 0).float().mean()) < 0.6
    # The mean of the modes is 0: a student that averages them would be near it.
    assert float(side.abs().mean()) > 0.7 * float(data.mean(dim=1).abs().mean())
    # A chunk of another mode than the one under way: what the prefix is there to prevent.
    assert float((side.sign() != mode).float().mean()) > 0.4


def test_the_student_is_nearer_to_the_teachers_end_than_one_step_of_the_teacher(
    toy: tuple[ChunkField, ChunkField],
) -> None:
    teacher, student = toy
    generator = torch.Generator().manual_seed(97)
    data, context, _ = two_modes(2000, generator)
    noise = torch.randn(data.shape, generator=generator)
    delay = torch.randint(0, 7, (2000,), generator=generator)
    with torch.no_grad():
        end = solve(teacher, data, context, noise, delay, 8)[-1]
        hasty = solve(teacher, data, context, noise, delay, 1)[-1]
        given = one_step(student, data, context, noise, delay)
    assert float((given - end).abs().mean()) < 0.5 * float((hasty - end).abs().mean())
