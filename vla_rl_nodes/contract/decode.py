"""ROS messages in, numpy arrays out; the same code for live messages and for those of a bag.

The functions read attributes only, so that they take rclpy's messages and those that ``rosbags``
deserialises alike.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from vla_rl_nodes.errors import InputError

_CHANNELS = {"rgb8": (0, 1, 2), "bgr8": (2, 1, 0)}


def stamp_ns(message: Any) -> int:
    """The header stamp in nanoseconds."""
    stamp = message.header.stamp
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)


def image_array(message: Any, place: str = "image") -> NDArray[np.uint8]:
    """A sensor_msgs/Image as RGB uint8 [height, width, 3].

    Raises:
        InputError: another encoding, or a size that does not fit the data.
    """
    order = _CHANNELS.get(message.encoding)
    if order is None:
        raise InputError(place, f"encoding '{message.encoding}'", "publish rgb8 or bgr8")
    height, width, step = int(message.height), int(message.width), int(message.step)
    data = np.frombuffer(message.data, dtype=np.uint8)
    if height < 1 or width < 1 or step < 3 * width or data.size != height * step:
        raise InputError(
            place,
            f"{width}x{height} with step {step} does not fit {data.size} bytes",
            "publish whole rows of three bytes a pixel",
        )
    pixels = data.reshape(height, step)[:, : 3 * width].reshape(height, width, 3)
    return pixels if order == (0, 1, 2) else pixels[:, :, ::-1]


def compressed_image_array(message: Any, place: str = "image") -> NDArray[np.uint8]:
    """A sensor_msgs/CompressedImage (JPEG or PNG) as RGB uint8 [height, width, 3].

    Raises:
        InputError: data that is no whole JPEG or PNG image.
    """
    try:
        with Image.open(io.BytesIO(bytes(message.data)), formats=("JPEG", "PNG")) as picture:
            return np.asarray(picture.convert("RGB"))
    except (UnidentifiedImageError, OSError, ValueError, Image.DecompressionBombError) as error:
        raise InputError(place, "is no whole JPEG or PNG", "check the camera driver") from error


def named_vector(message: Any, names: Sequence[str], place: str = "vector") -> NDArray[np.float64]:
    """Components of a JointState by name, whatever their order, as float64 [len(names)].

    Raises:
        InputError: a name missing or twice, unequal lengths, or a value that is not finite.
    """
    given = list(message.name)
    if len(given) != len(message.position):
        raise InputError(
            place,
            f"{len(given)} names but {len(message.position)} positions",
            "publish one position for each name",
        )
    if len(set(given)) != len(given):
        raise InputError(place, "a name stands twice", "publish each name once")
    where = {name: index for index, name in enumerate(given)}
    missing = next((name for name in names if name not in where), None)
    if missing is not None:
        raise InputError(place, f"'{missing}' is not among its names", "publish all of them")
    values = np.array([message.position[where[name]] for name in names], dtype=np.float64)
    if not np.isfinite(values).all():
        bad = names[int(np.argmin(np.isfinite(values)))]
        raise InputError(place, f"'{bad}' is not finite", "check the publisher")
    return values
