"""A multi-step flow policy's chunk: integrated with a prefix, or guided towards the last chunk."""

from __future__ import annotations

import math
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.contract.observation import Observation
from vla_rl_nodes.policy.flow import FlowField

Single = NDArray[np.float32]


class ChunkField(Protocol):
    """A velocity field over chunks with its context bound; see policy.flow.FlowField."""

    def velocity(self, x: Single, tau: float) -> Single:
        """v(x [H, A], τ)."""

    def velocity_and_correction(
        self, x: Single, tau: float, target: Single, weight: Single
    ) -> tuple[Single, Single]:
        """v(x, τ) and Jᵀ[(target - Â)·W] with Â = x + (1 - τ)v and J = dÂ/dx."""


class _Bound:
    """A bundle's field for one observation."""

    def __init__(self, flow: FlowField, observation: Observation) -> None:
        self._flow, self._context = flow, flow.context(observation)

    def velocity(self, x: Single, tau: float) -> Single:
        times = np.full((1, len(x)), tau, dtype=np.float32)
        velocity: Single = self._flow.velocity(self._context, x[None], times)[0]
        return velocity

    def velocity_and_correction(
        self, x: Single, tau: float, target: Single, weight: Single
    ) -> tuple[Single, Single]:
        times = np.full((1, len(x)), tau, dtype=np.float32)
        velocity, correction = self._flow.velocity_and_correction(
            self._context, x[None], times, target[None], weight
        )
        return velocity[0], correction[0]


def continued_flow(
    flow: FlowField, observation: Observation, prefix: Single, delay: int, noise: Single
) -> Single:
    """A chunk [H, A] in action units by Euler steps that keep ``delay`` rows of the prefix.

    The committed rows stay clean, with their own flow time pinned at 1 (arXiv 2512.05964).
    """
    committed = flow.normalised(prefix[:delay])
    context, steps = flow.context(observation), flow.steps
    x = noise.copy()
    tau = np.empty((1, len(x)), dtype=np.float32)
    for step in range(steps):
        x[:delay] = committed
        tau[:] = step / steps
        tau[:, :delay] = 1.0
        x += flow.velocity(context, x[None], tau)[0] / np.float32(steps)
    chunk = flow.actions(x)
    chunk[:delay] = prefix[:delay]
    return chunk


def soft_mask(length: int, delay: int, executed: int) -> Single:
    """Weights [H] of the last chunk's rows: 1 where committed, falling to 0 where it ends.

    Args:
        length: H.
        delay: d, committed rows.
        executed: s, rows of the last chunk that were executed before; H - s rows overlap.

    Source: arXiv 2506.07339, eq. 5.
    """
    row = np.arange(length)
    share = (length - executed - row) / (length - executed - delay + 1)
    ramp = share * np.expm1(share) / (math.e - 1.0)
    weights = np.where(row < delay, 1.0, np.where(row < length - executed, ramp, 0.0))
    return weights.astype(np.float32)


def guidance_weight(tau: float, largest: float) -> float:
    """min(β, (1 - τ) / (τ r²)) with r² = (1 - τ)² / (τ² + (1 - τ)²); β at τ = 0."""
    if tau == 0.0:
        return largest
    r_squared = (1.0 - tau) ** 2 / (tau**2 + (1.0 - tau) ** 2)
    return min(largest, (1.0 - tau) / (tau * r_squared))


def guided_flow(
    field: ChunkField,
    noise: Single,
    target: Single,
    weight: Single,
    *,
    steps: int,
    largest_weight: float,
    jacobian: Literal["full", "identity"],
) -> Single:
    """A normalised chunk [H, A], pulled towards the last one (arXiv 2506.07339, algorithm 1).

    Args:
        field: the flow policy's velocity for one observation.
        noise: standard normal [H, A].
        target: the last chunk from the request on, padded to [H, A], normalised.
        weight: of its rows [H], see :func:`soft_mask`.
        steps: Euler steps n.
        largest_weight: β.
        jacobian: ``full`` pulls the error back through the network; ``identity`` takes the error
            of the estimate as it is, which saves the backward pass and is an approximation.
    """
    x = noise.copy()
    for step in range(steps):
        tau = step / steps
        if jacobian == "full":
            velocity, correction = field.velocity_and_correction(x, tau, target, weight)
        else:
            velocity = field.velocity(x, tau)
            estimate = x + np.float32(1.0 - tau) * velocity
            correction = (target - estimate) * weight[:, None]
        pull = np.float32(guidance_weight(tau, largest_weight))
        x += (velocity + pull * correction) / np.float32(steps)
    return x


def bound_field(flow: FlowField, observation: Observation) -> ChunkField:
    """The field of a bundle for one observation, whose context is computed once."""
    return _Bound(flow, observation)
