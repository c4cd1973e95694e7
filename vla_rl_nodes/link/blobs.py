"""The files of a learner's folder: uploads under way, and episodes that are whole.

``incoming/<robot>/<id>.json`` is an offer, ``<id>.part`` what has come of its file, and
``<id>.whole/`` the file while it is checked; ``episodes/<robot>/<id>/`` appears in one rename.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from vla_rl_nodes.bags.durable import sync_folder, write_durably
from vla_rl_nodes.bags.manifest import MANIFEST

_OFFER, _PART, _WHOLE = ".json", ".part", ".whole"


class Blobs:
    """Every call either has its whole effect on the disk when it returns, or raises OSError.

    Thread-safe as long as one episode is changed by one thread at a time. Robots' names and
    episodes' ids must have been checked: they become names of files.

    Args:
        folder: the learner's.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._incoming = folder / "incoming"
        self._episodes = folder / "episodes"
        self._damaged = folder / "damaged"

    def prepare(self) -> None:
        """Makes the folders and puts away what a kill has left between two steps."""
        for place in (self._incoming, self._episodes):
            place.mkdir(parents=True, exist_ok=True)
        for robot in self._incoming.iterdir():
            for found in robot.iterdir():
                if found.name.startswith("."):
                    found.unlink()  # half an offer
                elif found.name.endswith(_WHOLE):
                    self.unstage(robot.name, found.name.removesuffix(_WHOLE))
            for part in robot.glob(f"*{_PART}"):
                if not part.with_suffix(_OFFER).exists():
                    part.unlink()

    # Uploads.

    def offers(self) -> Iterator[tuple[str, str, float]]:
        """Robot and id of every offer, and its age in seconds."""
        now = time.time()
        for path in sorted(self._incoming.glob(f"*/*{_OFFER}")):
            yield path.parent.name, path.name.removesuffix(_OFFER), now - self._touched(path)

    def offer(self, robot: str, episode_id: str) -> bytes:
        """The manifest that was offered."""
        return self._path(robot, episode_id, _OFFER).read_bytes()

    def write_offer(self, robot: str, episode_id: str, manifest: bytes) -> None:
        """Keeps a manifest; another one of that id is replaced."""
        path = self._path(robot, episode_id, _OFFER)
        path.parent.mkdir(exist_ok=True)
        write_durably(path, manifest)
        sync_folder(self._incoming)

    def have(self, robot: str, episode_id: str) -> int:
        """Bytes of an episode's file that have come."""
        try:
            return self._path(robot, episode_id, _PART).stat().st_size
        except FileNotFoundError:
            return 0

    def append(self, robot: str, episode_id: str, offset: int, data: bytes) -> None:
        """Adds a part behind ``offset`` bytes; where it does not fit on the disk nothing stays."""
        path = self._path(robot, episode_id, _PART)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
        try:
            try:
                left = memoryview(data)
                while left:
                    written = os.pwrite(handle, left, offset + len(data) - len(left))
                    left = left[written:]
                os.fdatasync(handle)
            except OSError:
                os.ftruncate(handle, offset)
                raise
        finally:
            os.close(handle)
        if offset == 0:
            sync_folder(path.parent)

    def stage(self, robot: str, episode_id: str) -> Path:
        """Sets a file apart whose bytes have all come, under the name that it will have."""
        whole = self._path(robot, episode_id, _WHOLE)
        whole.mkdir(exist_ok=True)
        path = whole / f"{episode_id}.mcap"
        part = self._path(robot, episode_id, _PART)
        if not part.exists():
            part.touch()  # an episode of no bytes; the check names what is wrong with it
        part.rename(path)
        return path

    def unstage(self, robot: str, episode_id: str) -> None:
        """Puts a file that was not checked to the end back among the uploads."""
        whole = self._path(robot, episode_id, _WHOLE)
        path = whole / f"{episode_id}.mcap"
        if path.exists():
            path.rename(self._path(robot, episode_id, _PART))
        shutil.rmtree(whole)

    def drop(self, robot: str, episode_id: str) -> None:
        """Throws an upload's bytes away; its offer stays."""
        self._path(robot, episode_id, _PART).unlink(missing_ok=True)
        shutil.rmtree(self._path(robot, episode_id, _WHOLE), ignore_errors=True)

    def forget(self, robot: str, episode_id: str) -> None:
        """Throws an upload away."""
        self.drop(robot, episode_id)
        self._path(robot, episode_id, _OFFER).unlink(missing_ok=True)

    # Episodes.

    def publish(self, robot: str, episode_id: str, manifest: bytes) -> None:
        """Gives a staged file its final name, with its manifest beside it."""
        whole = self._path(robot, episode_id, _WHOLE)
        handle = os.open(whole / f"{episode_id}.mcap", os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
        write_durably(whole / MANIFEST, manifest)
        final = self.episode(robot, episode_id)
        final.parent.mkdir(exist_ok=True)
        if final.exists():  # put there by hand: without a row it is nothing
            self.set_aside(robot, episode_id)
        whole.rename(final)
        for folder in (final.parent, whole.parent, self._episodes):
            sync_folder(folder)

    def withdraw(self, robot: str, episode_id: str) -> None:
        """Makes an episode an upload again, because its row could not be written."""
        self.episode(robot, episode_id).rename(self._path(robot, episode_id, _WHOLE))
        self.unstage(robot, episode_id)

    def episode(self, robot: str, episode_id: str) -> Path:
        """The folder of an episode, there or not."""
        return self._episodes / robot / episode_id

    def episodes(self) -> Iterator[tuple[str, str]]:
        """Robot and id of every episode's folder."""
        for path in sorted(self._episodes.glob("*/*")):
            yield path.parent.name, path.name

    def set_aside(self, robot: str, episode_id: str) -> Path:
        """Moves an episode's folder out of the way and says where it is now."""
        place = self._damaged / robot / f"{episode_id}-{time.time_ns()}"
        place.parent.mkdir(parents=True, exist_ok=True)
        self.episode(robot, episode_id).rename(place)
        return place

    def free_bytes(self) -> int:
        """Bytes of the disk that are free."""
        return shutil.disk_usage(self.folder).free

    def _path(self, robot: str, episode_id: str, suffix: str) -> Path:
        return self._incoming / robot / f"{episode_id}{suffix}"

    def _touched(self, offer: Path) -> float:
        part = offer.with_suffix(_PART)
        return max(path.stat().st_mtime for path in (offer, part) if path.exists())
