"""Pictures as they come, and what is none."""

from __future__ import annotations

import io
import zlib
from dataclasses import replace

import numpy as np
import pytest
from page_robot import FakeRobot, png
from PIL import Image

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.operator.camera_pictures import LONGEST_SIDE, MOST_RAW, Raw, jpeg
from vla_rl_nodes.operator.page_settings import Pictures

CUT = (
    (5).to_bytes(4, "big") + b"IHDR" + bytes(5) + zlib.crc32(b"IHDR" + bytes(5)).to_bytes(4, "big")
)


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
        Raw(1, 0, png(1, 16385)),
        Raw(1, 0, png(16385, 1)),
        Raw(1, 0, bytes(16385), "mono8", 1, 16385, 1),
        Raw(1, 0, bytes(MOST_RAW + 1), "mono8", 640, 480, 640),
        # A header that is cut off: Pillow raises struct.error.
        Raw(1, 0, b"\x89PNG\r\n\x1a\n" + CUT),
    ],
)
def test_what_is_no_picture(bad: Raw) -> None:
    with pytest.raises(InputError, match="picture"):
        jpeg(bad, Pictures())


def test_a_narrow_and_very_long_picture_is_shown() -> None:
    assert shown(Raw(1, 0, png(2, LONGEST_SIDE))).size == (2, LONGEST_SIDE)
