"""Cameras that show nothing: black frames, white frames, and frames that stopped changing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.replay.observe import StreamSamples

DARK = 8  # of 255; a lens cap and a sensor's noise stay below
BRIGHT = 247
MOVED = 0.005  # m, rad and the like: that much of a measured state is motion, not noise


@dataclass(frozen=True)
class ImageQuality:
    """One camera.

    Attributes:
        frames: valid ones.
        black: frames without a single pixel above ``DARK``.
        white: frames without a single pixel below ``BRIGHT``.
        frozen_s: longest time over which every frame was the same although the robot moved, s;
            a simulated camera that sees nothing move gives the same frame, too.
        frozen_at_ns: where that began; None where it never was.
        mean: brightness of all frames together, 0 to 255.
    """

    frames: int
    black: int
    white: int
    frozen_s: float
    frozen_at_ns: int | None
    mean: float | None


def measure_images(
    contract: Contract, samples: Mapping[str, StreamSamples]
) -> dict[str, ImageQuality]:
    """Every image stream of a bag, by key.

    Args:
        contract: tells images and measured states.
        samples: of every stream.
    """
    states = [samples[s.key] for s in contract.streams if s.kind == "vector"]
    return {s.key: _measure(samples[s.key], states) for s in contract.streams if s.kind == "image"}


def _measure(frames: StreamSamples, states: list[StreamSamples]) -> ImageQuality:
    black = white = 0
    total, longest = 0.0, (0, 0)
    began, before = 0, None
    for stamp in frames.stamps:
        image = frames.at(stamp)
        assert image is not None
        black += int(image.max() <= DARK)
        white += int(image.min() >= BRIGHT)
        total += float(image.mean())
        if before is None or not np.array_equal(image, before):
            began, before = stamp, image
        elif stamp - began > longest[1] - longest[0] and _moved(states, began, stamp):
            longest = (began, stamp)
    count = len(frames.stamps)
    frozen = longest[1] - longest[0]
    return ImageQuality(
        count, black, white, frozen / 1e9, longest[0] if frozen else None,
        total / count if count else None,
    )  # fmt: skip


def _moved(states: list[StreamSamples], start_ns: int, end_ns: int) -> bool:
    for state in states:
        one, other = _at(state, start_ns), _at(state, end_ns)
        if one is not None and other is not None and np.abs(one - other).max() > MOVED:
            return True
    return False


def _at(state: StreamSamples, at_ns: int) -> NDArray[np.float32] | None:
    stamp = state.newest(at_ns, at_ns)
    return None if stamp is None else state.at(stamp)
