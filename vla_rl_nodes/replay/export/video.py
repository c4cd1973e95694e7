"""Videos, for who has installed PyAV: its wheels carry GPL codecs, so nothing here requires it."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.errors import InputError

# As LeRobot writes them: AV1, and every second frame a whole one, so that any frame is near.
CODEC = "libsvtav1"
PIXELS = "yuv420p"
_OPTIONS = {"g": "2", "crf": "30", "preset": "10"}


def pyav() -> Any:
    """The module ``av``.

    Raises:
        InputError: it is not installed.
    """
    try:
        return importlib.import_module("av")
    except ImportError as error:
        raise InputError(
            "video", "needs the package 'av', which is not installed",
            "run 'pip install av' (its wheels hold GPL codecs), or keep to PNG or JPEG images",
        ) from error  # fmt: skip


class VideoFile:
    """An MP4 of frames at a constant rate.

    Args:
        path: of the new file.
        fps: frames a second.
        height: pixels, even.
        width: pixels, even.

    Raises:
        InputError: PyAV is not installed or lacks the encoder, or the size is odd.
    """

    def __init__(self, path: Path, fps: int, height: int, width: int) -> None:
        av = pyav()
        if CODEC not in av.codecs_available:
            raise InputError("video", f"this 'av' has no {CODEC}", "install av from PyPI")
        if height % 2 or width % 2:
            raise InputError(
                "video", f"{width}x{height} has an odd side", "keep to PNG or JPEG images"
            )
        self._av = av
        self.path = path
        self.frames = 0
        os.environ.setdefault("SVT_LOG", "1")  # errors only: the encoder talks on stderr
        self._container = av.open(str(path), "w")
        self._stream = self._container.add_stream(CODEC, rate=fps, options=_OPTIONS)
        self._stream.width, self._stream.height = width, height
        self._stream.pix_fmt = PIXELS
        self._stream.codec_context.time_base = Fraction(1, fps)

    def add(self, images: NDArray[np.uint8]) -> None:
        """Appends images [n, height, width, 3]."""
        for image in images:
            frame = self._av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts = self.frames
            self.frames += 1
            self._container.mux(self._stream.encode(frame))

    def close(self) -> None:
        """Writes what the encoder holds back, and the index."""
        self._container.mux(self._stream.encode())
        self._container.close()


def read_frames(
    path: Path, start_s: float, count: int, fps: float, sizes: set[tuple[int, int]]
) -> Iterator[NDArray[np.uint8]]:
    """``count`` frames [height, width, 3] from a time on, one for each period.

    Args:
        path: of the video; it is not trusted.
        start_s: time of the first frame, seconds.
        count: of frames.
        fps: frames a second.
        sizes: (height, width) that frames may have.

    Raises:
        InputError: PyAV is not installed, the file is no video, has another size, or lacks one
            of the frames.
    """
    av = pyav()
    given = 0
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            if (stream.height, stream.width) not in sizes:
                raise InputError(
                    path, f"is a video of {stream.width}x{stream.height}", "fit the contract"
                )
            container.seek(max(0, int(start_s / stream.time_base)), stream=stream)
            for frame in container.decode(stream):
                if given == count:
                    break
                late = frame.time - start_s - given / fps
                if late < -0.5 / fps:
                    continue  # on the way from the whole frame before
                if late > 0.5 / fps:
                    break
                given += 1
                yield np.asarray(frame.to_ndarray(format="rgb24"))
    except (av.FFmpegError, IndexError, ValueError, TypeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(path, "is no video that can be decoded", "download it again") from error
    if given != count:
        raise InputError(
            path, f"has {given} of the {count} frames from {start_s:g} s on", "download it again"
        )
