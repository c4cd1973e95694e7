"""Pictures as they come, and what is none."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from page_robot import FakeRobot, png
from PIL import Image

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.operator.camera_pictures import Raw, jpeg
from vla_rl_nodes.operator.page_settings import Pictures


def shown(raw: Raw, **settings: object) -> Image.Image:
    return Image.open(io.BytesIO(jpeg(raw, Pictures(**settings))))  # type: ignore[arg-type]


def raw(encoding: str = "rgb8") -> Raw:
    robot = FakeRobot()
    robot.show(0, 1)
    return replace(robot.pictures[0], encoding=encoding)


def test_colours_are_in_their_places() -> None:
    for encoding, channel in (("rgb8", 0), ("bgr8", 2)):
        pixels = np.asarray(shown(raw(encoding)))
        assert pixels.shape == (96, 128, 3)
        assert pixels[50, 20, channel] > 150 and pixels[50, 20, 2 - channel] < 90


def test_wide_pictures_are_made_smaller() -> None:
    assert shown(raw(), width_max=64).size == (64, 48)


def test_grey_and_padded_rows() -> None:
    data = np.tile(np.arange(10, dtype=np.uint8), (4, 1)).tobytes()
    assert shown(Raw(1, 0, data, "mono8", 8, 4, 10)).size == (8, 4)


def test_a_jpeg_is_passed_on_as_it_is_and_a_png_is_not() -> None:
    data = jpeg(raw(), Pictures())
    assert jpeg(Raw(1, 0, data), Pictures()) is data
    assert shown(Raw(1, 0, png(30, 20))).size == (30, 20)


@pytest.mark.parametrize(
    "bad",
    [
        Raw(1, 0, b"", "rgb8", 4, 4, 12),
        Raw(1, 0, bytes(48), "rgb8", 4, 4, 11),
        Raw(1, 0, bytes(48), "rgb8", 0, 4, 12),
        Raw(1, 0, bytes(48), "rgb8", 1 << 30, 1 << 30, 12),
        Raw(1, 0, bytes(48), "16UC1", 4, 4, 12),
        Raw(1, 0, b"no picture"),
        Raw(1, 0, png(30, 20)[:60]),
        Raw(1, 0, b"GIF89a" + bytes(60)),
    ],
)
def test_what_is_no_picture(bad: Raw) -> None:
    with pytest.raises(InputError, match="picture"):
        jpeg(bad, Pictures())
