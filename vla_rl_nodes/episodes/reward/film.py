"""Frames evenly over an episode of any length, in bounded memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Images = Mapping[str, NDArray[Any]]


class Film:
    """Keeps at most twice as many frames as are asked for; the first and the newest stay.

    When it is full, every second frame goes, and from then on only every second one is taken.

    Attributes:
        seen: how many frames there were.
        newest_ns: stamp of the newest.

    Args:
        frames: how many will be asked for, at least 1.
    """

    def __init__(self, frames: int) -> None:
        self._frames = frames
        self.reset()

    def reset(self) -> None:
        """Forgets everything, for a new episode."""
        self._kept: list[Images] = []
        self._newest: Images | None = None
        self._every, self.seen = 1, 0
        self.newest_ns = 0

    def add(self, stamp_ns: int, images: Images) -> None:
        """One more frame: camera key to uint8 [H, W, 3]; nothing where it is no newer one."""
        if self._newest is not None and stamp_ns <= self.newest_ns:
            return
        if self.seen % self._every == 0:
            self._kept.append(images)
        self.seen += 1
        self._newest, self.newest_ns = images, stamp_ns
        if len(self._kept) > 2 * self._frames:
            self._kept, self._every = self._kept[::2], 2 * self._every

    def frames(self) -> dict[str, NDArray[np.uint8]]:
        """Camera key to uint8 [T, H, W, 3], T as asked for; repeated where there are fewer.

        Empty where nothing was added.
        """
        if self._newest is None:
            return {}
        every = list(self._kept)
        if every[-1] is not self._newest:
            every.append(self._newest)
        # The newest first: of one frame alone it is the final state that counts.
        backwards = np.linspace(len(every) - 1, 0, self._frames).round().astype(int)
        chosen = [every[index] for index in backwards[::-1]]
        return {key: np.stack([images[key] for images in chosen]) for key in self._newest}
