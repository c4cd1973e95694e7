"""The prefix-conditioned flow loss: exact where it must be the ordinary one."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from vla_rl_nodes.learner.flow import corrupt, flow_loss, prefix_mask, solve
from vla_rl_nodes.learner.networks import ChunkField

pytestmark = pytest.mark.learner

BATCH, LENGTH, AXES, CONTEXT = 32, 16, 5, 7


@pytest.fixture
def field() -> ChunkField:
    torch.manual_seed(1)
    network = ChunkField(LENGTH, AXES, CONTEXT, width=32, blocks=2, condition=16)
    for parameter in network.parameters():  # blocks start as the identity
        torch.nn.init.normal_(parameter, std=0.2)
    return network


def draw(seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    g = torch.Generator().manual_seed(seed)
    shape = (BATCH, LENGTH, AXES)
    return (
        torch.randn(shape, generator=g),
        torch.randn(BATCH, CONTEXT, generator=g),
        torch.randn(shape, generator=g),
        torch.rand(BATCH, generator=g),
    )


@pytest.mark.parametrize("seed", range(5))
def test_without_a_prefix_it_is_the_ordinary_flow_loss_bit_for_bit(
    field: ChunkField, seed: int
) -> None:
    data, context, noise, time = draw(seed)
    t = time[:, None, None]
    x = (1 - t) * noise + t * data
    velocity = field(x, time[:, None].expand(BATCH, LENGTH), context)
    ordinary = torch.nn.functional.mse_loss(velocity, data - noise)
    none = torch.zeros(BATCH, dtype=torch.int64)
    assert torch.equal(flow_loss(field, data, context, noise, time, none), ordinary)


@pytest.mark.parametrize("delay", [1, 4, 6, 15])
def test_the_loss_does_not_look_at_committed_rows(field: ChunkField, delay: int) -> None:
    data, context, noise, time = draw(10)
    delays = torch.full((BATCH,), delay)
    bump = torch.zeros(LENGTH, AXES)
    bump[:delay] = 1e3

    def shifted(x: Tensor, tau: Tensor, c: Tensor) -> Tensor:
        return field(x, tau, c) + bump

    loss = flow_loss(field, data, context, noise, time, delays)
    assert torch.equal(flow_loss(shifted, data, context, noise, time, delays), loss)
    bump[delay] = 1.0
    assert not torch.equal(flow_loss(shifted, data, context, noise, time, delays), loss)


def test_noise_of_committed_rows_does_not_matter(field: ChunkField) -> None:
    data, context, noise, time = draw(11)
    delays = torch.arange(BATCH) % 7
    other = torch.where(prefix_mask(delays, LENGTH)[:, :, None], noise + 5.0, noise)
    assert torch.equal(
        flow_loss(field, data, context, noise, time, delays),
        flow_loss(field, data, context, other, time, delays),
    )


def test_the_mean_is_over_open_rows_of_the_whole_batch(field: ChunkField) -> None:
    data, context, noise, time = draw(12)
    delays = torch.arange(BATCH) % 7
    mask = prefix_mask(delays, LENGTH)
    x, tau = corrupt(data, noise, time, mask)
    error = (field(x, tau, context) - (data - noise)).square()
    wanted = torch.cat([error[i, int(d) :].flatten() for i, d in enumerate(delays)]).mean()
    assert torch.allclose(flow_loss(field, data, context, noise, time, delays), wanted)


def test_committed_rows_are_clean_and_at_the_data_end() -> None:
    data, _, noise, time = draw(13)
    delays = torch.arange(BATCH) % 7
    mask = prefix_mask(delays, LENGTH)
    x, tau = corrupt(data, noise, time, mask)
    assert torch.equal(x[mask], data[mask]) and bool((tau[mask] == 1).all())
    rows = ~mask
    assert torch.equal(tau[rows], time[:, None].expand_as(tau)[rows])
    assert not bool((x[rows] == data[rows]).any())


def test_the_solver_keeps_the_prefix_at_every_step(field: ChunkField) -> None:
    data, context, noise, _ = draw(14)
    delays = torch.arange(BATCH) % 7
    mask = prefix_mask(delays, LENGTH)
    path = solve(field, data, context, noise, delays, steps=5)
    assert len(path) == 6
    for x in path:
        assert torch.equal(x[mask], data[mask])
    assert torch.equal(path[0][~mask], noise[~mask])


def test_the_solver_follows_a_straight_flow_exactly() -> None:
    data, context, noise, _ = draw(15)
    none = torch.zeros(BATCH, dtype=torch.int64)

    def straight(x: Tensor, tau: Tensor, c: Tensor) -> Tensor:
        return data - noise

    for steps in (1, 4, 8):
        end = solve(straight, data, context, noise, none, steps)[-1]
        assert torch.allclose(end, data, atol=1e-5)
