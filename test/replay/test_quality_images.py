from __future__ import annotations

import numpy as np
import pytest

from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.replay.observe import StreamSamples
from vla_rl_nodes.replay.quality_images import ImageQuality, measure_images

CONTRACT = load_contract("franka_pick")
PERIOD = 33_000_000


def measure(frames: list[np.ndarray], speed: float) -> ImageQuality:
    """The scene camera's figures, while the tool moves by so much a frame."""
    samples = {stream.key: StreamSamples() for stream in CONTRACT.streams}
    for k, frame in enumerate(frames):
        at = (k + 1) * PERIOD
        samples["image_scene"].add(at, frame)
        samples["state"].add(at, np.full(6, k * speed, dtype=np.float32))
    return measure_images(CONTRACT, samples)["image_scene"]


def noise(count: int, low: int = 0, high: int = 256) -> list[np.ndarray]:
    rng = np.random.default_rng(1)
    return list(rng.integers(low, high, size=(count, 64, 64, 3)).astype(np.uint8))


def test_a_living_camera() -> None:
    found = measure(noise(20), 0.01)
    assert (found.frames, found.black, found.white, found.frozen_s) == (20, 0, 0, 0.0)
    assert found.mean == pytest.approx(127.5, abs=1.0) and found.frozen_at_ns is None


def test_black_and_white_frames_with_a_sensors_noise() -> None:
    assert measure(noise(5, 0, 9) + noise(2), 0.0).black == 5
    assert measure(noise(3, 247, 256) + noise(2), 0.0).white == 3
    assert measure(noise(5, 0, 40), 0.0).black == 0


def test_the_same_picture_counts_only_while_the_robot_moves() -> None:
    frames = noise(10)
    frames[3:8] = [frames[3]] * 5
    moving = measure(frames, 0.01)
    assert moving.frozen_s == pytest.approx(4 * 0.033)
    assert moving.frozen_at_ns == 4 * PERIOD
    assert measure(frames, 0.0).frozen_s == 0.0
    assert measure(frames, 0.001).frozen_s == 0.0  # 4 mm in all


def test_a_camera_without_a_frame() -> None:
    assert measure([], 0.0) == ImageQuality(0, 0, 0, 0.0, None, None)
