"""Flow-matching teacher that continues committed actions (training-time real-time chunking).

Flow time runs from 0 (noise) to 1 (data): x = (1 - τ)·noise + τ·data, velocity data - noise.
The first ``delay`` rows of a chunk are committed: they stay clean, with their own flow time
pinned at 1, and the loss is averaged over the other rows only (arXiv 2512.05964).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

# (x [B, H, A], tau [B, H], context [B, C]) -> velocity [B, H, A]
Field = Callable[[Tensor, Tensor, Tensor], Tensor]


def prefix_mask(delay: Tensor, chunk_length: int) -> Tensor:
    """bool [B, H]: True in the rows that are committed."""
    return torch.arange(chunk_length, device=delay.device) < delay[:, None]


def corrupt(data: Tensor, noise: Tensor, time: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """The chunk at flow time ``time`` with clean committed rows.

    Args:
        data: clean chunk [B, H, A].
        noise: standard normal [B, H, A].
        time: flow time of the rows that are not committed, [B].
        mask: committed rows, bool [B, H].

    Returns:
        x [B, H, A] and the flow time of every row, [B, H].
    """
    t = time[:, None, None]
    x = torch.where(mask[:, :, None], data, (1 - t) * noise + t * data)
    tau = torch.where(mask, 1.0, time[:, None])
    return x, tau


def postfix_mean(error: Tensor, mask: Tensor) -> Tensor:
    """Mean of ``error`` [B, H, A] over the rows that are not committed."""
    open_rows = (~mask)[:, :, None].expand_as(error)
    return torch.where(open_rows, error, 0.0).sum() / open_rows.sum()


def second_difference(error: Tensor, mask: Tensor) -> Tensor:
    """Second difference along an error [B, H, A] that is zero in the masked rows and before.

    In a loss it keeps a whole new chunk from lying beside the committed actions by a little,
    which is a jolt at every seam; the best chunk is the same.
    """
    padded = torch.nn.functional.pad(torch.where(mask[:, :, None], 0.0, error), (0, 0, 2, 0))
    return padded[:, 2:] - 2 * padded[:, 1:-1] + padded[:, :-2]


def flow_loss(
    field: Field,
    data: Tensor,
    context: Tensor,
    noise: Tensor,
    time: Tensor,
    delay: Tensor,
    smooth: float = 0.0,
) -> Tensor:
    """Squared error of the velocity over the rows that are not committed; a scalar.

    Args:
        field: the velocity.
        data: clean chunk [B, H, A].
        context: [B, C].
        noise: standard normal [B, H, A].
        time: flow time of the rows that are not committed, [B].
        delay: committed rows, int64 [B].
        smooth: weight of the error's second differences along the chunk.
    """
    mask = prefix_mask(delay, data.shape[1])
    x, tau = corrupt(data, noise, time, mask)
    error = field(x, tau, context) - (data - noise)
    loss = postfix_mean(error.square(), mask)
    if smooth > 0.0:
        loss = loss + smooth * postfix_mean(second_difference(error, mask).square(), mask)
    return loss


def solve(
    field: Field, prefix: Tensor, context: Tensor, noise: Tensor, delay: Tensor, steps: int
) -> list[Tensor]:
    """Integrates the flow from noise to data in equal Euler steps.

    The committed rows are imposed at every step.

    Returns:
        The chunk [B, H, A] at flow times 0, 1/steps, ..., 1: ``steps + 1`` tensors.
    """
    mask = prefix_mask(delay, prefix.shape[1])
    x = torch.where(mask[:, :, None], prefix, noise)
    path = [x]
    for step in range(steps):
        time = torch.full_like(delay, step, dtype=x.dtype) / steps
        tau = torch.where(mask, 1.0, time[:, None])
        x = torch.where(mask[:, :, None], prefix, x + field(x, tau, context) / steps)
        path.append(x)
    return path
