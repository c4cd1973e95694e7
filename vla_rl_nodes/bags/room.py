"""Whether a folder of bags may grow: its own bound, and what the disk must keep free."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from vla_rl_nodes.errors import InputError


class DiskRoom:
    """Says before a bag is begun whether there is room; a bag that was begun is finished.

    Args:
        folder: of the bags; need not exist yet.
        max_bytes: of everything in it; None for no bound.
        min_free_bytes: that the disk must have left, enough for the longest episode.
    """

    def __init__(self, folder: Path, max_bytes: int | None, min_free_bytes: int) -> None:
        self._folder, self._max_bytes, self._min_free = folder, max_bytes, min_free_bytes

    def require(self) -> None:
        """Passes when a new bag may be begun.

        Raises:
            InputError: the folder holds more than it may, or the disk is nearly full.
        """
        there = self._folder
        while not there.exists() and there != there.parent:
            there = there.parent
        try:
            free = shutil.disk_usage(there).free
        except OSError as error:
            reason = (error.strerror or "unreadable").lower()
            raise InputError(there, f"cannot be read ({reason})", "check the disk") from error
        if free < self._min_free:
            raise InputError(
                self._folder, f"{free} bytes are free, {self._min_free} must stay free",
                "free space, or let the bridge deliver its episodes",
            )  # fmt: skip
        if self._max_bytes is not None and (held := _size(self._folder)) >= self._max_bytes:
            raise InputError(
                self._folder, f"holds {held} bytes, {self._max_bytes} are allowed",
                "remove bags, or let the bridge deliver its episodes",
            )  # fmt: skip


def _size(folder: Path) -> int:
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(parent, name)).st_size
            except OSError:
                continue  # removed meanwhile
    return total
