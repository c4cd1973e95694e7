"""The networks: an encoder a camera, a residual MLP over the chunk, and judges of a chunk."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from vla_rl_nodes.errors import InputError


class CameraEncoder(nn.Module):
    """uint8 image [B, H, W, 3] -> features [B, size].

    Four convolutions, then for every channel the mean position, the spread and the mean
    activation of its map (spatial softmax, Levine et al. 2016, with the spread added): where
    things are matters for control, and positions below a pixel survive.
    """

    def __init__(self, height: int, width: int, channels: Sequence[int], size: int) -> None:
        super().__init__()
        first, second, third, last = channels
        self.convolutions = nn.Sequential(
            nn.Conv2d(3, first, 4, stride=2, padding=1),
            nn.SiLU(),
            nn.Conv2d(first, second, 4, stride=2, padding=1),
            nn.SiLU(),
            nn.Conv2d(second, third, 3, padding=1),
            nn.SiLU(),
            nn.Conv2d(third, last, 3, padding=1),
        )
        for layer in self.convolutions:
            if isinstance(layer, nn.Conv2d):
                # Maps of unit spread: the softmax over them then points somewhere from the start.
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)
        rows, columns = height // 4, width // 4
        y, x = torch.meshgrid(
            torch.linspace(-1, 1, rows), torch.linspace(-1, 1, columns), indexing="ij"
        )
        grid = torch.stack([x, y, x * x, y * y], dim=-1).reshape(rows * columns, 4)
        self.register_buffer("grid", grid, persistent=False)
        self.sharpness = nn.Parameter(torch.ones(last))
        self.project = nn.Sequential(nn.Linear(5 * last, size), nn.LayerNorm(size), nn.SiLU())

    def forward(self, image: Tensor) -> Tensor:
        # uint8 from the robot, float from augmentation; both 0 to 255.
        pixels = image.permute(0, 3, 1, 2).to(torch.float32) / 127.5 - 1.0
        maps = self.convolutions(pixels).flatten(2)  # [B, C, P]
        grid: Tensor = self.get_buffer("grid")
        weights = torch.softmax(maps * self.sharpness.exp()[:, None], dim=2)
        moments = weights @ grid  # [B, C, 4]: x, y, x², y²
        mean, square = moments[..., :2], moments[..., 2:]
        spread = (square - mean * mean).clamp_min(1e-6).sqrt()
        activation = maps.mean(dim=2, keepdim=True)
        features: Tensor = self.project(torch.cat([mean, spread, activation], dim=2).flatten(1))
        return features


class Encoder(nn.Module):
    """All cameras -> context [B, cameras * size]; each camera has its own weights."""

    def __init__(
        self, cameras: Mapping[str, tuple[int, int]], channels: Sequence[int], size: int
    ) -> None:
        super().__init__()
        self.keys = list(cameras)
        self.cameras = nn.ModuleList(
            CameraEncoder(height, width, channels, size) for height, width in cameras.values()
        )
        self.size = size * len(self.keys)

    def forward(self, images: Mapping[str, Tensor]) -> Tensor:
        parts = [encode(images[key]) for key, encode in zip(self.keys, self.cameras, strict=True)]
        return torch.cat(parts, dim=1)


class Block(nn.Module):
    """Residual MLP block whose input is scaled and shifted by the condition (FiLM)."""

    def __init__(self, width: int, condition: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.film = nn.Linear(condition, 2 * width)
        self.inner = nn.Linear(width, width)
        self.outer = nn.Linear(width, width)
        # Starts as the identity, so that depth does not slow the first steps.
        nn.init.zeros_(self.film.weight)
        nn.init.zeros_(self.film.bias)
        nn.init.zeros_(self.outer.weight)
        nn.init.zeros_(self.outer.bias)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        scale, shift = self.film(condition).chunk(2, dim=1)
        hidden = self.norm(x) * (1 + scale) + shift
        result: Tensor = x + self.outer(nn.functional.silu(self.inner(hidden)))
        return result


class ChunkField(nn.Module):
    """(noisy chunk [B, H, A], flow time per token [B, H], context [B, C]) -> field [B, H, A].

    The same network is the teacher's velocity and the student's update. Every token carries its
    own flow time, 0 noise to 1 data, so that committed actions stand in the chunk as clean
    tokens (training-time real-time chunking, arXiv 2512.05964).
    """

    FREQUENCIES = (1.0, 2.0, 4.0)

    def __init__(
        self,
        chunk_length: int,
        axes: int,
        context: int,
        *,
        width: int,
        blocks: int,
        condition: int,
    ) -> None:
        super().__init__()
        self.chunk_length, self.axes = chunk_length, axes
        times = chunk_length * (1 + 2 * len(self.FREQUENCIES))
        self.condition = nn.Sequential(
            nn.Linear(context + times, condition),
            nn.SiLU(),
            nn.Linear(condition, condition),
            nn.SiLU(),
        )
        self.enter = nn.Linear(chunk_length * axes + condition, width)
        self.blocks = nn.ModuleList(Block(width, condition) for _ in range(blocks))
        self.leave = nn.Linear(width, chunk_length * axes)

    def conditioned(self, tau: Tensor, context: Tensor) -> Tensor:
        """What every block is conditioned on, [B, condition]; the chunk has no part in it."""
        waves = [tau]
        for frequency in self.FREQUENCIES:
            phase = math.pi * frequency * tau
            waves += [phase.sin(), phase.cos()]
        condition: Tensor = self.condition(torch.cat([context, *waves], dim=1))
        return condition

    def forward(self, x: Tensor, tau: Tensor, context: Tensor) -> Tensor:
        condition = self.conditioned(tau, context)
        hidden = self.enter(torch.cat([x.flatten(1), condition], dim=1))
        for block in self.blocks:
            hidden = block(hidden, condition)
        field: Tensor = self.leave(nn.functional.silu(hidden))
        return field.reshape(-1, self.chunk_length, self.axes)


class ChunkHead(nn.Module):
    """(context [B, C], normalised chunk [B, H, A]) -> [B, size]: a judgement of a whole chunk."""

    def __init__(self, context: int, chunk: int, size: int, width: int) -> None:
        """``chunk`` is H times A."""
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(context + chunk, width),
            nn.LayerNorm(width),
            nn.SiLU(),
            nn.Linear(width, width),
            nn.LayerNorm(width),
            nn.SiLU(),
            nn.Linear(width, size),
        )

    def forward(self, context: Tensor, chunk: Tensor) -> Tensor:
        result: Tensor = self.layers(torch.cat([context, chunk.flatten(1)], dim=1))
        return result


class OutcomeHead(nn.Module):
    """(context [B, C], normalised chunk [B, H, A]) -> joint probability [B, 2, K].

    Of how the episode ends, first failure, then success, and of the bin of ticks that remain; K
    bins. It looks at the chunk, so that candidates from different noise differ.
    """

    def __init__(
        self, context: int, chunk: int, remaining_ticks: Sequence[float], width: int
    ) -> None:
        """``chunk`` is H times A; ``remaining_ticks`` are the bins' centres, ascending.

        Raises:
            InputError: fewer than two centres, or they do not ascend from above 0.
        """
        super().__init__()
        centres = torch.tensor(list(remaining_ticks), dtype=torch.float32)
        steps = torch.diff(centres, prepend=torch.zeros(1))
        if len(centres) < 2 or not bool((steps > 0).all()):
            raise InputError(
                "remaining_ticks", "do not ascend from above 0", "give two or more that do"
            )
        self.register_buffer("centres", centres)
        self.bins = len(centres)
        self.head = ChunkHead(context, chunk, 2 * self.bins, width)

    def logits(self, context: Tensor, chunk: Tensor) -> Tensor:
        """Unnormalised log-probabilities [B, 2K], failure first."""
        result: Tensor = self.head(context, chunk)
        return result

    def forward(self, context: Tensor, chunk: Tensor) -> Tensor:
        return self.logits(context, chunk).softmax(dim=1).reshape(-1, 2, self.bins)


def parameter_count(*modules: nn.Module) -> int:
    """Number of trainable scalars."""
    return sum(p.numel() for module in modules for p in module.parameters())
