"""A camera's picture as a JPEG of bounded size."""

from __future__ import annotations

import io
from dataclasses import dataclass

from PIL import Image

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.operator.page_settings import Pictures

MODES = {"rgb8": ("RGB", "RGB", 3), "bgr8": ("RGB", "BGR", 3), "mono8": ("L", "L", 1)}
MOST_PIXELS = 4096 * 4096
LONGEST_SIDE = 16384  # JPEG itself ends at 65500
MOST_RAW = 3 * 2_100_000  # bytes: 1920 x 1080 in colour
LARGEST_JPEG = 1 << 20


@dataclass(frozen=True)
class Raw:
    """A picture as it came.

    Attributes:
        number: one more than the camera's last.
        stamp_ns: when it was taken.
        data: rows of pixels, or a file where ``encoding`` is empty.
    """

    number: int
    stamp_ns: int
    data: bytes
    encoding: str = ""
    width: int = 0
    height: int = 0
    step: int = 0


def jpeg(raw: Raw, settings: Pictures) -> bytes:
    """The picture as JPEG.

    Raises:
        InputError: it is not what it says, or of a kind that is not known here.
    """
    picture = _opened(raw) if not raw.encoding else _plain(raw)
    if picture is None:
        return raw.data
    if picture.width > settings.width_max:
        height = max(1, round(picture.height * settings.width_max / picture.width))
        picture = picture.resize((settings.width_max, height), Image.Resampling.BILINEAR)
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=settings.quality)
    return out.getvalue()


def refuse_large(size: int) -> None:
    """Passes a raw picture that is not too large to be worked on ten times a second.

    Args:
        size: bytes.

    Raises:
        InputError: it is.
    """
    if size > MOST_RAW:
        raise InputError(
            "picture", f"is raw and too large ({size / 1e6:.0f} MB)",
            "name the camera's compressed topic, or show: observation in page.yaml",
        )  # fmt: skip


def _plain(raw: Raw) -> Image.Image:
    if raw.encoding not in MODES:
        raise InputError("picture", "has an unknown encoding", f"send {', '.join(MODES)}")
    mode, order, size = MODES[raw.encoding]
    refuse_large(len(raw.data))
    sides = 1 <= raw.width <= LONGEST_SIDE and 1 <= raw.height <= LONGEST_SIDE
    if not sides or raw.step < size * raw.width or len(raw.data) < raw.step * raw.height:
        raise InputError("picture", "is not as large as it says", "check the driver")
    return Image.frombuffer(
        mode, (raw.width, raw.height), raw.data, "raw", order, raw.step, 1
    )  # fmt: skip


def _opened(raw: Raw) -> Image.Image | None:
    """A compressed picture; None where it can be passed on as it is."""
    try:
        picture = Image.open(io.BytesIO(raw.data), formats=("JPEG", "PNG"))
        sides = 1 <= picture.width <= LONGEST_SIDE and 1 <= picture.height <= LONGEST_SIDE
        if not sides or picture.width * picture.height > MOST_PIXELS:
            raise InputError("picture", "is too large", "make it smaller")
        if picture.format == "JPEG" and len(raw.data) <= LARGEST_JPEG:
            return None
        return picture.convert("RGB")
    except InputError:
        raise
    except Exception as error:  # of a damaged file Pillow raises whatever it stumbles over
        raise InputError("picture", "is no JPEG or PNG", "check the driver") from error
