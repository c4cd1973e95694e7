"""The encoder tells where things are, and the chunk network uses every token's own time."""

from __future__ import annotations

import pytest
import torch

from vla_rl_nodes.learner.networks import CameraEncoder, ChunkField, Encoder, parameter_count

pytestmark = pytest.mark.learner


def test_uint8_and_float_images_give_the_same_features() -> None:
    torch.manual_seed(0)
    encoder = CameraEncoder(64, 64, [4, 6, 6, 8], 10)
    image = torch.randint(0, 256, (3, 64, 64, 3), dtype=torch.uint8)
    assert torch.equal(encoder(image), encoder(image.to(torch.float32)))


def test_features_move_with_an_object() -> None:
    torch.manual_seed(0)
    encoder = CameraEncoder(64, 64, [4, 6, 6, 8], 10)
    images = torch.full((2, 64, 64, 3), 90, dtype=torch.uint8)
    images[0, 8:14, 8:14] = 220
    images[1, 8:14, 9:15] = 220
    features = encoder(images)
    assert not torch.allclose(features[0], features[1], atol=1e-4)


def test_a_sharp_map_gives_the_position_of_its_peak() -> None:
    encoder = CameraEncoder(64, 32, [4, 4, 4, 1], 5)
    seen: list[torch.Tensor] = []
    encoder.project.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    encoder.convolutions = torch.nn.Identity()  # type: ignore[assignment]
    encoder.sharpness.data.fill_(5.0)
    encoder.project = torch.nn.Identity()  # type: ignore[assignment]
    maps = torch.zeros(1, 16, 8, 1)
    maps[0, 12, 2] = 255.0  # the convolutions are left out: pixels are the map
    x, y, spread_x, spread_y, mean = encoder(maps)[0].detach()
    assert float(x) == pytest.approx(2 / 7 * 2 - 1, abs=1e-3)
    assert float(y) == pytest.approx(12 / 15 * 2 - 1, abs=1e-3)
    assert float(spread_x) == pytest.approx(1e-3, abs=1e-4)  # the floor of the square root
    assert float(spread_y) == pytest.approx(1e-3, abs=1e-4)
    assert float(mean) == pytest.approx(-1 + 2 / 128, abs=1e-5)


def test_each_camera_has_its_own_part_of_the_context() -> None:
    torch.manual_seed(0)
    encoder = Encoder({"a": (64, 64), "b": (64, 64)}, [4, 6, 6, 8], 10)
    images = {key: torch.randint(0, 256, (1, 64, 64, 3), dtype=torch.uint8) for key in "ab"}
    context = encoder(images)
    assert context.shape == (1, 20)
    changed = encoder({**images, "b": 255 - images["b"]})
    assert torch.equal(changed[:, :10], context[:, :10])
    assert not torch.allclose(changed[:, 10:], context[:, 10:])


def test_the_time_of_every_token_matters() -> None:
    torch.manual_seed(0)
    field = ChunkField(16, 5, 4, width=32, blocks=2, condition=16)
    x, context, tau = torch.randn(1, 16, 5), torch.randn(1, 4), torch.full((1, 16), 0.3)
    base = field(x, tau, context)
    assert base.shape == (1, 16, 5)
    for token in range(16):
        other = tau.clone()
        other[0, token] = 1.0
        assert not torch.equal(field(x, other, context), base)


def test_parameters_are_counted_once() -> None:
    assert parameter_count(torch.nn.Linear(3, 4), torch.nn.Linear(2, 1, bias=False)) == 18
