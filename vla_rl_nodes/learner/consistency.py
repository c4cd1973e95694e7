"""One-step student: a consistency function distilled from the flow teacher.

The student maps any point of the teacher's trajectory to its end, f(x, τ) = x + (1 - τ)·F(x, τ),
so that f(x, 1) = x exactly (the boundary condition of Song et al. 2023, with c_skip = 1 and
c_out = 1 - τ). As every row has its own flow time, committed rows, at τ = 1, pass through
unchanged, and one evaluation at τ = 0 continues them.
"""

from __future__ import annotations

import torch
from torch import Tensor

from vla_rl_nodes.learner.flow import (
    Field,
    postfix_mean,
    prefix_mask,
    second_difference,
    solve,
)


def consistency(field: Field, x: Tensor, tau: Tensor, context: Tensor) -> Tensor:
    """f(x, τ): the end of the trajectory through x [B, H, A] at flow times τ [B, H]."""
    return x + (1 - tau)[:, :, None] * field(x, tau, context)


def one_step(
    field: Field, prefix: Tensor, context: Tensor, noise: Tensor, delay: Tensor
) -> Tensor:
    """A chunk [B, H, A] from noise in one evaluation; its first ``delay`` rows are ``prefix``'s.

    Args:
        field: the student's network F.
        prefix: [B, H, A]; rows from ``delay`` on are ignored.
        context: [B, C].
        noise: standard normal [B, H, A]; zeros are outside what was trained.
        delay: committed rows, int64 [B].
    """
    mask = prefix_mask(delay, prefix.shape[1])
    x = torch.where(mask[:, :, None], prefix, noise)
    return consistency(field, x, mask.to(x.dtype), context)


def pseudo_huber(error: Tensor, scale: float) -> Tensor:
    """sqrt(e² + c²) - c per element: squared near zero, absolute far away."""
    return (error.square() + scale * scale).sqrt() - scale


def trajectory_loss(
    student: Field,
    teacher: Field,
    data: Tensor,
    context: Tensor,
    noise: Tensor,
    delay: Tensor,
    start: Tensor,
    *,
    steps: int,
    scale: float,
    smooth: float = 0.0,
) -> Tensor:
    """Distance of f to the end of the teacher's own trajectory; a scalar.

    Every point of one trajectory gets the same target, which is the self-consistency that the
    method is named for, with the teacher's end in place of a bootstrapped one.

    Args:
        student: network F of the student.
        teacher: velocity of the teacher, frozen.
        data: clean chunk [B, H, A]; only its committed rows are used.
        context: [B, C].
        noise: the trajectory's start, [B, H, A]; shared with the student.
        delay: committed rows, int64 [B].
        start: which point of the trajectory the student starts from, int64 [B], 0 to steps - 1.
        steps: Euler steps of the teacher.
        scale: pseudo-Huber c.
        smooth: weight of the same distance of the error's second differences along the chunk.
    """
    mask = prefix_mask(delay, data.shape[1])
    with torch.no_grad():
        path = torch.stack(solve(teacher, data, context, noise, delay, steps))
    x = path[start, torch.arange(len(start))]
    tau = torch.where(mask, 1.0, (start / steps)[:, None])
    error = consistency(student, x, tau, context) - path[-1]
    loss = postfix_mean(pseudo_huber(error, scale), mask)
    if smooth > 0.0:
        bend = pseudo_huber(second_difference(error, mask), scale)
        loss = loss + smooth * postfix_mean(bend, mask)
    return loss
