"""Augmentation shifts whole images a few pixels and changes light, and nothing else."""

from __future__ import annotations

import pytest
import torch

from vla_rl_nodes.learner.augment import augmented
from vla_rl_nodes.learner.recipe import Augmentation

pytestmark = pytest.mark.learner

PLAIN = Augmentation(shift_px=0, gain=0.0, offset=0.0, copies=1)


def pictures() -> torch.Tensor:
    g = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (5, 24, 32, 3), dtype=torch.uint8, generator=g)


def test_without_changes_the_chosen_images_come_back() -> None:
    images, rows = pictures(), torch.tensor([3, 0, 3])
    out = augmented(images, rows, PLAIN, torch.Generator().manual_seed(1))
    assert out.dtype == torch.float32
    assert torch.equal(out, images[rows].to(torch.float32))


def test_every_shift_is_within_reach_and_repeats_the_border() -> None:
    images = pictures()[:1]
    settings = PLAIN.model_copy(update={"shift_px": 2})
    rows = torch.zeros(200, dtype=torch.int64)
    out = augmented(images, rows, settings, torch.Generator().manual_seed(1))
    shifts: dict[tuple[int, int], torch.Tensor] = {}
    for dy in range(-2, 3):
        for dx in range(-2, 3):
            y = (torch.arange(24) + dy).clamp(0, 23)
            x = (torch.arange(32) + dx).clamp(0, 31)
            shifts[dy, dx] = images[0][y][:, x].to(torch.float32)
    found = {key for key, wanted in shifts.items() for one in out if torch.equal(one, wanted)}
    assert found == set(shifts)
    assert all(any(torch.equal(one, wanted) for wanted in shifts.values()) for one in out)


def test_light_stays_within_its_settings() -> None:
    images = torch.full((1, 8, 8, 3), 100, dtype=torch.uint8)
    settings = Augmentation(shift_px=0, gain=0.2, offset=0.1, copies=1)
    rows = torch.zeros(500, dtype=torch.int64)
    out = augmented(images, rows, settings, torch.Generator().manual_seed(1))
    assert float(out.min()) >= 100 * 0.8 * 0.9 - 25.5
    assert float(out.max()) <= 100 * 1.2 * 1.1 + 25.5
    assert float(out[:, 0, 0].std(dim=0).min()) > 5
    # One light and one tint an image: every pixel of it is the same.
    assert torch.equal(out, out[:, :1, :1].expand_as(out))


def test_values_stay_pixels() -> None:
    images = torch.tensor([0, 255], dtype=torch.uint8).repeat(96).reshape(1, 8, 8, 3)
    settings = Augmentation(shift_px=1, gain=0.9, offset=0.9, copies=1)
    out = augmented(images, torch.zeros(50, dtype=torch.int64), settings, torch.Generator())
    assert float(out.min()) == 0.0 and float(out.max()) == 255.0
