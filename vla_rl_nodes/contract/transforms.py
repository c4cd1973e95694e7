"""The contract's image transforms, applied once, by camera_ingest."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vla_rl_nodes.contract.spec import Stream
from vla_rl_nodes.errors import InputError


def transform_image(stream: Stream, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A driver's image [height, width, 3] cropped and resized as the stream says.

    Raises:
        InputError: the image has not the size that the contract's source promises.
    """
    source = stream.source
    if source is None or image.shape != (source.height, source.width, 3):
        wanted = f"{source.width}x{source.height}" if source else "no image"
        raise InputError(
            source.topic if source else stream.key,
            f"image is {image.shape[1]}x{image.shape[0]}, the contract says {wanted}",
            "set the camera's size or the contract's source",
        )
    for transform in stream.transforms:
        if transform.crop is not None:
            box = transform.crop
            image = image[box.y : box.y + box.height, box.x : box.x + box.width]
        elif transform.resize is not None:
            size = (transform.resize.width, transform.resize.height)
            picture = Image.fromarray(np.ascontiguousarray(image))
            # BOX averages whole source areas: no ringing, and the same bytes on every machine.
            image = np.asarray(picture.resize(size, Image.Resampling.BOX))
    return np.ascontiguousarray(image)
