"""The plane's policies as modules: the student, and the control that is plain imitation."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.learner.flow import prefix_mask
from vla_rl_nodes.learner.networks import ChunkField, Encoder
from vla_rl_nodes.learner.plane_recipe import PlaneNetwork
from vla_rl_nodes.learner.policy import Policy, Scales

FAR, NEAR = 0.1, 0.02  # metres: the two scales that distances are seen in
_ACTION, _CHANGE, _SPEED = 0.01, 0.004, 0.1  # metres per tick, per tick twice, and m/s


class PlaneFeatures(nn.Module):
    """State [B, 18] in the contract's units -> context [B, SIZE].

    Everything is taken relative to the commanded point, so that only where things stand to each
    other matters; distances appear twice, because millimetres count near the object and
    decimetres far from it.
    """

    SIZE = 22

    def __init__(self, names: Sequence[str]) -> None:
        """From the components' names in order, as the contract gives them."""
        super().__init__()
        self._at = {name: index for index, name in enumerate(names)}

    def forward(self, state: Tensor) -> Tensor:
        reference = self._pair(state, "reference")
        action, earlier = self._pair(state, "action"), self._pair(state, "earlier_action")
        present = self._one(state, "obstacle_present")
        goal = self._pair(state, "object") - reference
        obstacle = (self._pair(state, "obstacle") - reference) * present
        parts = [
            (self._pair(state, "tool") - reference) / NEAR,
            action / _ACTION,
            (action - earlier) / _CHANGE,
            goal / FAR,
            _squashed(goal),
            self._pair(state, "object_velocity") / _SPEED,
            obstacle / FAR,
            _squashed(obstacle),
            earlier / _ACTION,
            present,
            *(self._one(state, f"task_{task}") for task in ("kick", "moving", "two_ways")),
        ]
        return torch.cat(parts, dim=1)

    def _one(self, state: Tensor, name: str) -> Tensor:
        index = self._at[name]
        return state[:, index : index + 1]

    def _pair(self, state: Tensor, name: str) -> Tensor:
        return torch.cat([self._one(state, f"{name}_x"), self._one(state, f"{name}_y")], dim=1)


def _squashed(distance: Tensor) -> Tensor:
    """Vectors [B, 2] in metres, shortened to below 1 and steepest where they are short."""
    length = (distance.square().sum(dim=1, keepdim=True) + 1e-8).sqrt()
    return distance / (length + NEAR)


class PlanePolicy(Policy):
    """As learner.policy.Policy, with features of the plane's state in place of an encoder."""

    def __init__(self, contract: Contract, network: PlaneNetwork, scales: Scales) -> None:
        nn.Module.__init__(self)  # Policy's own would size the field for the bare state
        self.vectors = [stream.key for stream in contract.streams]
        self.scales = scales
        self.outcome = None
        self.encoder = Encoder({}, (), 0)
        (stream,) = contract.streams
        self.features = PlaneFeatures(stream.names)
        self.field = plane_field(contract, network)

    def context(self, images: object, proprio: Tensor) -> Tensor:
        """The features [B, SIZE] of the state [B, 18]; there are no images."""
        features: Tensor = self.features(proprio)
        return features


class ImitationPolicy(PlanePolicy):
    """The control: one chunk for one state, no noise, no committed actions.

    It has the student's network and interface; committed rows are only pasted over its chunk.
    """

    def chunk(self, context: Tensor, prefix: Tensor, delay: Tensor, noise: Tensor) -> Tensor:
        """A chunk [B, H, A] in the contract's units; the noise makes no difference."""
        ends = imitated(self.field, context, 0.0 * noise)
        committed = prefix_mask(delay, prefix.shape[1])[:, :, None]
        return torch.where(committed, prefix, self.scales.actions(ends))


def plane_field(contract: Contract, network: PlaneNetwork) -> ChunkField:
    """The network that teacher, student and control all have."""
    field = ChunkField(
        contract.action.chunk_length,
        len(contract.action.names),
        PlaneFeatures.SIZE,
        width=network.width,
        blocks=network.blocks,
        condition=network.condition,
    )
    start_at_minus_x(field)
    return field


def start_at_minus_x(field: ChunkField) -> None:
    """Sets a new field to v(x, τ) = -x, so that one step from noise starts by removing it all.

    A network that has to learn this leaves a part of the noise in its chunks. Exact, because
    silu(h) - silu(-h) = h, and the blocks of a new field pass everything on unchanged.

    Raises:
        ValueError: the network is not wide enough to hold x twice.
    """
    size = field.chunk_length * field.axes
    if field.enter.out_features < 2 * size:
        raise ValueError(f"a width of at least {2 * size} is needed")
    same = torch.eye(size)
    with torch.no_grad():
        field.enter.weight[: 2 * size].zero_()
        field.enter.bias[: 2 * size].zero_()
        field.enter.weight[:size, :size] = same
        field.enter.weight[size : 2 * size, :size] = -same
        field.leave.weight.zero_()
        field.leave.bias.zero_()
        field.leave.weight[:, :size] = -same
        field.leave.weight[:, size : 2 * size] = same


def imitated(field: ChunkField, context: Tensor, nothing: Tensor) -> Tensor:
    """The control's normalised chunk [B, H, A]; ``nothing`` is zeros of that shape."""
    chunk: Tensor = field(nothing, nothing[:, :, 0], context)
    return chunk
