"""Image changes that must not change the action: small shifts, light and colour."""

from __future__ import annotations

import torch
from torch import Tensor

from vla_rl_nodes.learner.recipe import Augmentation


def augmented(
    images: Tensor, rows: Tensor, settings: Augmentation, generator: torch.Generator
) -> Tensor:
    """Chosen images, each shifted, lit and tinted differently.

    Args:
        images: uint8 [N, H, W, 3].
        rows: which of them, int64 [B].
        settings: how far each change goes.
        generator: source of the random numbers.

    Returns:
        float32 [B, H, W, 3], 0 to 255; a shift repeats the border.
    """
    batch, (height, width) = len(rows), images.shape[1:3]
    reach = settings.shift_px
    shift = torch.randint(-reach, reach + 1, (2, batch, 1), generator=generator)
    y = (torch.arange(height) + shift[0]).clamp(0, height - 1)
    x = (torch.arange(width) + shift[1]).clamp(0, width - 1)
    pixels = images[rows[:, None, None], y[:, :, None], x[:, None, :]].to(torch.float32)

    def spread(*shape: int) -> Tensor:
        return 2 * torch.rand(shape, generator=generator) - 1

    light = 1 + settings.gain * spread(batch, 1, 1, 1)
    tint = 1 + 0.5 * settings.gain * spread(batch, 1, 1, 3)
    pixels = pixels * (light * tint) + 255 * settings.offset * spread(batch, 1, 1, 1)
    return pixels.clamp(0, 255)
