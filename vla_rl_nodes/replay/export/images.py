"""Images as PNG or JPEG bytes, and back; a picture of another size is never unpacked."""

from __future__ import annotations

import io
import zlib
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vla_rl_nodes.errors import InputError

Encoding = Literal["png", "jpeg"]
# Runs of equal bytes only: of camera images this takes less time and less room than Deflate's
# search for repeated strings, at any level.
_PNG = {"format": "PNG", "compress_level": 1, "compress_type": zlib.Z_RLE}
# Colour is not subsampled, which is what hurts small coloured objects most.
_JPEG = {"format": "JPEG", "quality": 95, "subsampling": 0}
_LARGEST = 1 << 26


def encode(image: NDArray[np.uint8], encoding: Encoding) -> bytes:
    """An image [height, width, 3] uint8 as a file's bytes: PNG is lossless, JPEG is not.

    The same image gives the same bytes with the same version of Pillow and its libraries.
    """
    buffer = io.BytesIO()
    options: dict[str, Any] = _PNG if encoding == "png" else _JPEG
    Image.fromarray(image).save(buffer, **options)
    return buffer.getvalue()


def decode(data: bytes, sizes: set[tuple[int, int]], place: str) -> NDArray[np.uint8]:
    """The image [height, width, 3] uint8 in a PNG or JPEG file's bytes.

    Args:
        data: the file; it is not trusted.
        sizes: (height, width) that it may have.
        place: names it in an error.

    Raises:
        InputError: no whole PNG or JPEG of three colours and one of the sizes.
    """
    if len(data) > _LARGEST:
        raise InputError(place, "is an image of more than 64 MiB", "make it again")
    try:
        with Image.open(io.BytesIO(data), formats=("PNG", "JPEG")) as picture:
            width, height = picture.size  # from the file's head: nothing is unpacked yet
            if (height, width) not in sizes:
                wanted = " or ".join(f"{w}x{h}" for h, w in sorted(sizes))
                raise InputError(
                    place, f"is an image of {width}x{height}, not {wanted}", "fit the contract"
                )
            if picture.mode != "RGB":
                raise InputError(
                    place, f"is an image of mode {picture.mode}, not RGB", "convert it"
                )
            return np.array(picture)
    except InputError:
        raise
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise InputError(place, "is no whole PNG or JPEG image", "make it again") from error


def histogram(images: NDArray[np.uint8]) -> NDArray[np.int64]:
    """How often each value stands in each channel of images [n, height, width, 3]: [3, 256]."""
    counts = np.zeros((3, 256), dtype=np.int64)
    for image in images:
        for channel in range(3):
            counts[channel] += np.bincount(image[..., channel].reshape(-1), minlength=256)
    return counts
