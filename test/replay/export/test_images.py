from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.replay.export.images import decode, encode, histogram


@settings(max_examples=30, deadline=None)
@given(
    hnp.arrays(
        np.uint8, st.tuples(st.integers(1, 20), st.integers(1, 20), st.just(3)), fill=st.just(7)
    )
)
def test_png_keeps_every_bit(image: np.ndarray) -> None:
    data = encode(image, "png")
    np.testing.assert_array_equal(decode(data, {image.shape[:2]}, "here"), image)
    assert encode(image, "png") == data


def test_jpeg_is_near() -> None:
    y, x = np.mgrid[:32, :48]
    image = np.stack([x * 4, y * 6, x + y], axis=-1).astype(np.uint8)
    back = decode(encode(image, "jpeg"), {(32, 48)}, "here")
    assert np.abs(back.astype(int) - image).mean() < 2


def _file(mode: str, size: tuple[int, int], form: str) -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, size).save(buffer, form)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "is no whole PNG or JPEG image"),
        (b"\x89PNG\r\n\x1a\n" + bytes(40), "is no whole PNG or JPEG image"),
        (_file("RGB", (4, 4), "PNG")[:-30], "is no whole PNG or JPEG image"),
        (_file("RGB", (4, 4), "BMP"), "is no whole PNG or JPEG image"),
        (_file("RGB", (5, 4), "PNG"), "is an image of 5x4, not 4x4"),
        (_file("RGBA", (4, 4), "PNG"), "mode RGBA, not RGB"),
        (_file("L", (4, 4), "JPEG"), "mode L, not RGB"),
    ],
)
def test_other_images_are_refused(data: bytes, problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        decode(data, {(4, 4)}, "here")


def test_a_bomb_is_not_unpacked() -> None:
    for side in (8_000, 30_000):
        data = _file("RGB", (4, 4), "PNG")
        head = b"IHDR" + struct.pack(">II", side, side) + data[24:29]
        data = data[:12] + head + struct.pack(">I", zlib.crc32(head)) + data[33:]
        with pytest.raises(InputError, match=rf"{side}x{side}, not 4x4|no whole PNG"):
            decode(data, {(4, 4)}, "here")


def test_histogram_counts_channel_by_channel() -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 5, 4, 3), dtype=np.uint8)
    counts = histogram(images)
    for channel in range(3):
        for value in range(256):
            assert counts[channel, value] == (images[..., channel] == value).sum()
