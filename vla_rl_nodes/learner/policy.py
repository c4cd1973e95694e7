"""The whole policy as one module: normalisation, encoder, one-step student and its forecast."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.learner.consistency import one_step
from vla_rl_nodes.learner.flow import prefix_mask
from vla_rl_nodes.learner.networks import ChunkField, Encoder, OutcomeHead
from vla_rl_nodes.learner.recipe import Network

# Below these shares of an axis' range a spread is noise, and dividing by it would blow it up.
_LEAST_ACTION_SPREAD = 0.02
_LEAST_PROPRIO_SPREAD = 1e-3


class Scales(nn.Module):
    """Mean and spread of proprioception and actions, as buffers, so that they are exported."""

    def __init__(self, proprio: Tensor, chunk: Tensor, contract: Contract) -> None:
        """From the training windows: proprio [N, P], chunk [N, H, A]."""
        super().__init__()
        action = contract.action
        low = torch.tensor(action.minimum, dtype=torch.float32)
        high = torch.tensor(action.maximum, dtype=torch.float32)
        actions = chunk.flatten(0, 1)
        spread = actions.std(0).maximum(_LEAST_ACTION_SPREAD * (high - low))
        self.register_buffer("proprio_mean", proprio.mean(0))
        self.register_buffer("proprio_spread", proprio.std(0).clamp_min(_LEAST_PROPRIO_SPREAD))
        self.register_buffer("action_mean", actions.mean(0))
        self.register_buffer("action_spread", spread)
        self.register_buffer("action_minimum", low)
        self.register_buffer("action_maximum", high)

    def proprio(self, values: Tensor) -> Tensor:
        """Proprioception [B, P] in units of its spread."""
        return (values - self.get_buffer("proprio_mean")) / self.get_buffer("proprio_spread")

    def normalised(self, chunk: Tensor) -> Tensor:
        """Actions [..., A] in units of their spread."""
        return (chunk - self.get_buffer("action_mean")) / self.get_buffer("action_spread")

    def actions(self, chunk: Tensor) -> Tensor:
        """Normalised actions [..., A] in the contract's units, inside its bounds."""
        values = chunk * self.get_buffer("action_spread") + self.get_buffer("action_mean")
        low, high = self.get_buffer("action_minimum"), self.get_buffer("action_maximum")
        return torch.minimum(torch.maximum(values, low), high)


class Policy(nn.Module):
    """Observation, prefix, delay and noise -> chunk; what is exported and what the robot runs.

    Attributes:
        outcome: forecast of the episode's end from context and chunk, or None; the chunk does not
            depend on it.
    """

    outcome: OutcomeHead | None

    def __init__(self, contract: Contract, network: Network, scales: Scales) -> None:
        super().__init__()
        self.vectors = [s.key for s in contract.streams if s.kind == "vector"]
        cameras = {s.key: (s.shape[0], s.shape[1]) for s in contract.streams if s.kind == "image"}
        proprio = sum(s.shape[0] for s in contract.streams if s.kind == "vector")
        self.scales = scales
        self.encoder = Encoder(cameras, network.channels, network.camera_features)
        self.field = ChunkField(
            contract.action.chunk_length,
            len(contract.action.names),
            self.encoder.size + proprio,
            width=network.width,
            blocks=network.blocks,
            condition=network.condition,
        )
        self.outcome = None

    def context(self, images: Mapping[str, Tensor], proprio: Tensor) -> Tensor:
        """What the chunk is conditioned on, [B, C]; images 0 to 255, proprio in units."""
        if not self.encoder.keys:  # a contract without cameras
            return self.scales.proprio(proprio)
        return torch.cat([self.encoder(images), self.scales.proprio(proprio)], dim=1)

    def observed(self, observation: Mapping[str, Tensor]) -> Tensor:
        """The context [B, C] of the contract's streams, by key, as :meth:`forward` takes them."""
        proprio = torch.cat([observation[key] for key in self.vectors], dim=1)
        return self.context({key: observation[key] for key in self.encoder.keys}, proprio)

    def chunk(self, context: Tensor, prefix: Tensor, delay: Tensor, noise: Tensor) -> Tensor:
        """As :meth:`forward`, from the context [B, C] of :meth:`observed`."""
        ends = one_step(self.field, self.scales.normalised(prefix), context, noise, delay)
        committed = prefix_mask(delay, prefix.shape[1])[:, :, None]
        return torch.where(committed, prefix, self.scales.actions(ends))

    def forecast(self, context: Tensor, chunk: Tensor) -> Tensor:
        """Joint probability [B, 2, K] of (failure, success) and the ticks that remain.

        Args:
            context: [B, C].
            chunk: what would be executed, [B, H, A] in the contract's units.

        Raises:
            ValueError: the policy has no such head.
        """
        if self.outcome is None:
            raise ValueError("the policy has no outcome head")
        joint: Tensor = self.outcome(context, self.scales.normalised(chunk))
        return joint

    def forward(
        self, observation: Mapping[str, Tensor], prefix: Tensor, delay: Tensor, noise: Tensor
    ) -> Tensor:
        """A chunk [B, H, A] in the contract's units.

        Args:
            observation: stream key -> uint8 [B, h, w, 3] or float32 [B, n].
            prefix: committed actions in the contract's units, [B, H, A].
            delay: how many of its rows are committed, int64 [B].
            noise: standard normal [B, H, A].
        """
        return self.chunk(self.observed(observation), prefix, delay, noise)
