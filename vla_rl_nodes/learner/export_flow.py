"""The flow teacher as ONNX: its context, its velocity, and both with the guidance inside."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.learner.export import (
    check_against_torch,
    example_streams,
    onnx_bytes,
    random_streams,
)
from vla_rl_nodes.learner.networks import Block, ChunkField
from vla_rl_nodes.learner.policy import Policy
from vla_rl_nodes.policy.flow import CONTEXT, FIELD, VELOCITY
from vla_rl_nodes.policy.manifest import Flow

PullBack = Callable[[Tensor], Tensor]


class _Context(nn.Module):
    """The streams by position -> context [B, C]."""

    def __init__(self, policy: Policy, keys: list[str]) -> None:
        super().__init__()
        self.policy, self.keys = policy, keys

    def forward(self, *streams: Tensor) -> Tensor:
        return self.policy.observed(dict(zip(self.keys, streams, strict=True)))


class _Velocity(nn.Module):
    """The field with its arguments in the order of the other graph."""

    def __init__(self, field: ChunkField) -> None:
        super().__init__()
        self.field = field

    def forward(self, context: Tensor, x: Tensor, tau: Tensor) -> Tensor:
        velocity: Tensor = self.field(x, tau, context)
        return velocity


class GuidedField(nn.Module):
    """A field with the exact vector-Jacobian product of its clean estimate.

    With Â(x) = x + (1 - τ)·v(x, τ) and J = ∂Â/∂x, the correction is Jᵀ[(target - Â)·W]
    (arXiv 2506.07339, equation 2). τ is per row, so committed rows, at τ = 1, have Â = x.
    """

    def __init__(self, field: ChunkField) -> None:
        super().__init__()
        self.field = field

    def forward(
        self, context: Tensor, x: Tensor, tau: Tensor, target: Tensor, weight: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Velocity and correction [B, H, A].

        Args:
            context: [B, C].
            x: normalised chunk [B, H, A].
            tau: flow time of every row [B, H].
            target: normalised chunk [B, H, A].
            weight: W of every row [B, H].
        """
        velocity, pull_back = field_and_pull_back(self.field, x, tau, context)
        left = (1 - tau)[:, :, None]
        cotangent = (target - (x + left * velocity)) * weight[:, :, None]
        return velocity, cotangent + pull_back(left * cotangent)


def field_and_pull_back(
    field: ChunkField, x: Tensor, tau: Tensor, context: Tensor
) -> tuple[Tensor, PullBack]:
    """v(x) and the map g ↦ (∂v/∂x)ᵀ·g, as torch.func.vjp gives them.

    It is written out, because the exporter has no derivatives: every operator here is one that
    ONNX has, and nothing depends on the size of the batch.

    Args:
        field: the network.
        x: [B, H, A].
        tau: [B, H].
        context: [B, C].
    """
    condition = field.conditioned(tau, context)
    hidden = field.enter(torch.cat([x.flatten(1), condition], dim=1))
    backwards: list[PullBack] = []
    for block in field.blocks:
        assert isinstance(block, Block)
        hidden, back = _block(block, hidden, condition)
        backwards.append(back)
    active, slope = _silu(hidden)
    velocity: Tensor = field.leave(active).reshape(-1, field.chunk_length, field.axes)

    def pull_back(cotangent: Tensor) -> Tensor:
        g = (cotangent.flatten(1) @ field.leave.weight) * slope
        for back in reversed(backwards):
            g = back(g)
        entered: Tensor = g @ field.enter.weight[:, : field.chunk_length * field.axes]
        return entered.reshape(-1, field.chunk_length, field.axes)

    return velocity, pull_back


def _block(block: Block, x: Tensor, condition: Tensor) -> tuple[Tensor, PullBack]:
    film: Tensor = block.film(condition)
    scale, shift = film.chunk(2, dim=1)
    centred = x - x.mean(dim=1, keepdim=True)
    rate = (centred.square().mean(dim=1, keepdim=True) + block.norm.eps).rsqrt()
    normal = centred * rate
    active, slope = _silu(block.inner(normal * (1 + scale) + shift))

    def back(g: Tensor) -> Tensor:
        inner = (((g @ block.outer.weight) * slope) @ block.inner.weight) * (1 + scale)
        # The norm takes out what would only move the mean or change the spread.
        along = (inner * normal).mean(dim=1, keepdim=True)
        return g + rate * (inner - inner.mean(dim=1, keepdim=True) - normal * along)

    return x + block.outer(active), back


def _silu(x: Tensor) -> tuple[Tensor, Tensor]:
    """SiLU and its derivative."""
    gate = x.sigmoid()
    return x * gate, gate * (1 + x * (1 - gate))


def export_flow(
    policy: Policy, teacher: ChunkField, contract: Contract, steps: int
) -> tuple[dict[str, bytes], Flow]:
    """The teacher's graphs, already compared with torch, and what the manifest says of them.

    Args:
        policy: gives encoder and scales, those that the teacher was trained with.
        teacher: the flow's velocity in normalised action units.
        contract: what both were trained for.
        steps: equal Euler steps from noise to data that the robot should take.

    Returns:
        File name to bytes, and the ``flow`` of the manifest; both for policy.bundle.write_bundle.

    Raises:
        InputError: a graph differs from torch's own forward pass or derivative.
    """
    policy.eval()
    streams = example_streams(contract)
    shape = (contract.action.chunk_length, len(contract.action.names))
    with torch.no_grad():
        context = policy.observed(streams)
    chunk, rows = torch.zeros(1, *shape), torch.zeros(1, shape[0])
    files = {
        CONTEXT: onnx_bytes(_Context(policy, list(streams)), streams, ["context"]),
        FIELD: onnx_bytes(
            GuidedField(teacher).eval(),
            {"context": context, "x": chunk, "tau": rows, "target": chunk, "weight": rows},
            ["velocity", "correction"],
        ),
        VELOCITY: onnx_bytes(
            _Velocity(teacher).eval(), {"context": context, "x": chunk, "tau": rows}, ["velocity"]
        ),
    }
    _compare(files, policy, teacher, contract)
    scales = policy.scales
    return files, Flow(
        steps=steps,
        action_mean=scales.get_buffer("action_mean").tolist(),
        action_spread=scales.get_buffer("action_spread").tolist(),
    )


def _compare(
    files: Mapping[str, bytes], policy: Policy, teacher: ChunkField, contract: Contract
) -> None:
    """The graphs against torch and its automatic derivative, for several sizes of batch."""
    generator = torch.Generator().manual_seed(0)
    shape = (contract.action.chunk_length, len(contract.action.names))
    for batch in (1, 2, 7):
        observation = random_streams(contract, batch, generator)
        x, target = (torch.randn(batch, *shape, generator=generator) for _ in range(2))
        tau, weight = (torch.rand(batch, shape[0], generator=generator) for _ in range(2))
        tau = torch.where(torch.rand(tau.shape, generator=generator) < 0.3, 1.0, tau)
        with torch.no_grad():
            context = policy.observed(observation)
        check_against_torch(CONTEXT, files[CONTEXT], observation, [context])
        # Noise may be far from any observation; contexts that training saw are of order one.
        context = torch.randn(context.shape, generator=generator)
        velocity, correction = guided(teacher, context, x, tau, target, weight)
        feed = {"context": context, "x": x, "tau": tau, "target": target, "weight": weight}
        check_against_torch(FIELD, files[FIELD], feed, [velocity, correction])
        plain = {"context": context, "x": x, "tau": tau}
        check_against_torch(VELOCITY, files[VELOCITY], plain, [velocity])


def guided(
    field: nn.Module, context: Tensor, x: Tensor, tau: Tensor, target: Tensor, weight: Tensor
) -> tuple[Tensor, Tensor]:
    """Velocity and correction of any field, by torch's automatic derivative.

    Arguments and values as :meth:`GuidedField.forward`; what that is compared with.
    """

    with torch.enable_grad():
        at = x.detach().requires_grad_()
        velocity: Tensor = field(at, tau, context)
        clean = at + (1 - tau)[:, :, None] * velocity
    cotangent = ((target - clean) * weight[:, :, None]).detach()
    (correction,) = torch.autograd.grad(clean, at, cotangent)
    return velocity.detach(), correction
