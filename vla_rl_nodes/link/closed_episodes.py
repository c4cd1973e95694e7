"""Finds the closed episodes in a folder of bags, and what there can never be sent."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from vla_rl_nodes.bags.manifest import MANIFEST, Manifest, load_manifest
from vla_rl_nodes.bags.snapshot import SNAPSHOT_KIND
from vla_rl_nodes.episodes.discarded import is_discarded
from vla_rl_nodes.errors import InputError

LARGEST_MANIFEST = 1 << 20
LEFT_ALONE_S = 60.0  # after which a bag without a manifest is not being recorded any more
_SALVAGE = "run `vla-rl bag salvage` on it"


class BagError(InputError):
    """A bag that cannot be sent as it is."""


@dataclass(frozen=True)
class ClosedEpisode:
    """An episode whose manifest is there and valid.

    Attributes:
        folder: of the bag.
        manifest: as it stands there.
    """

    folder: Path
    manifest: Manifest

    @property
    def path(self) -> Path:
        """The MCAP file."""
        return self.folder / self.manifest.file


@dataclass(frozen=True)
class Findings:
    """What a look at the folder gave.

    Attributes:
        closed: episodes that were not there, or were another file, at the last look.
        unfit: one line for each bag that cannot be sent as it is, by its folder's name.
        folders: names of all that is in the folder.
    """

    closed: list[ClosedEpisode] = field(default_factory=list)
    unfit: dict[str, str] = field(default_factory=dict)
    folders: set[str] = field(default_factory=set)


class BagsFolder:
    """Looks again and again at a folder of bags, and reads a manifest once.

    Args:
        folder: its folders are bags; names with a leading dot are not looked at.
        clock: monotonic, seconds.
    """

    def __init__(self, folder: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self.folder = folder
        self._clock = clock
        self._seen: dict[str, tuple[int, int, int]] = {}
        self._unfit: dict[str, str] = {}
        self._unclosed: dict[str, tuple[tuple[int, int], float]] = {}

    def look(self) -> Findings:
        """What is new.

        Raises:
            InputError: the folder cannot be read.
        """
        findings = Findings()
        try:
            with os.scandir(self.folder) as entries:
                listed = sorted(entries, key=lambda entry: entry.name)
        except FileNotFoundError:
            return findings  # nothing was recorded yet
        except OSError as error:
            reason = (error.strerror or "unreadable").lower()
            raise InputError(
                self.folder, f"cannot be read ({reason})", "check the path and its rights"
            ) from error
        for entry in listed:
            if entry.name.startswith(".") or not entry.is_dir():
                continue
            findings.folders.add(entry.name)
            if entry.is_symlink():
                # What is deleted behind a link may be anything.
                self._unfit[entry.name] = (
                    f"{entry.path}: is a link, which is not followed; put the bag itself there"
                )
                continue
            self._look_at(entry.name, findings)
        for gone in (set(self._seen) | set(self._unfit) | set(self._unclosed)) - findings.folders:
            for known in (self._seen, self._unfit, self._unclosed):
                known.pop(gone, None)
        findings.unfit.update(self._unfit)
        return findings

    def forget(self, name: str) -> None:
        """A bag is to be found anew at the next look."""
        self._seen.pop(name, None)

    def _look_at(self, name: str, findings: Findings) -> None:
        folder = self.folder / name
        try:
            found = os.stat(folder / MANIFEST, follow_symlinks=False)
        except OSError:
            self._seen.pop(name, None)
            self._wait_for_manifest(name, folder)
            return
        self._unclosed.pop(name, None)
        mark = (found.st_mtime_ns, found.st_size, found.st_ino)
        if self._seen.get(name) == mark:
            return
        self._seen[name] = mark
        self._unfit.pop(name, None)
        try:
            episode = closed_episode(folder)
        except InputError as error:
            self._unfit[name] = str(error)
            return
        metadata = episode.manifest.metadata
        # Snapshots, and what an operator threw away, stay on the robot.
        if metadata.get("kind") != SNAPSHOT_KIND and not is_discarded(metadata):
            findings.closed.append(episode)

    def _wait_for_manifest(self, name: str, folder: Path) -> None:
        """A bag that still grows is being recorded; one that does not was cut off."""
        try:
            stats = [entry.stat() for entry in os.scandir(folder)]
        except OSError:
            return
        state = (sum(s.st_size for s in stats), max((s.st_mtime_ns for s in stats), default=0))
        now = self._clock()
        before, since = self._unclosed.get(name, (None, now))
        if before != state:
            self._unclosed[name] = (state, now)
            self._unfit.pop(name, None)
        elif now - since >= LEFT_ALONE_S:
            self._unfit[name] = f"{folder}: has no manifest, so it was not closed; {_SALVAGE}"


def closed_episode(folder: Path) -> ClosedEpisode:
    """The episode in a bag's folder.

    Raises:
        BagError: no manifest, one that is not valid, or a file that is not as long as it says.
    """
    place = folder / MANIFEST
    try:
        size = os.stat(place, follow_symlinks=False).st_size
    except OSError as error:
        raise BagError(folder, "has no manifest", _SALVAGE) from error
    if size > LARGEST_MANIFEST:
        raise BagError(place, f"is larger than {LARGEST_MANIFEST} bytes", _SALVAGE)
    manifest = _manifest(folder)
    if manifest is None:
        raise BagError(folder, "has no manifest", _SALVAGE)
    episode = ClosedEpisode(folder, manifest)
    with opened(episode):
        return episode


def manifest_text(episode: ClosedEpisode) -> bytes:
    """The manifest's bytes as they stand in the bag.

    Raises:
        BagError: it is gone, or another one stands there now.
    """
    place = episode.folder / MANIFEST
    try:
        text = place.read_bytes()
    except OSError as error:
        raise BagError(place, "is gone", "put the bag back") from error
    if len(text) > LARGEST_MANIFEST or _manifest(episode.folder) != episode.manifest:
        raise BagError(place, "was changed", "record into a folder of its own")
    return text


@contextmanager
def opened(episode: ClosedEpisode) -> Iterator[int]:
    """A descriptor of the episode's file, which is a regular one of the manifest's size.

    Raises:
        BagError: missing, a link, or of another size.
    """
    path, size = episode.path, episode.manifest.size
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        problem = "is a link" if path.is_symlink() else (error.strerror or "unreadable").lower()
        raise BagError(path, problem, _SALVAGE) from error
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise BagError(path, "is no regular file", _SALVAGE)
        if found.st_size != size:
            raise BagError(path, f"has {found.st_size} bytes, not {size}", _SALVAGE)
        yield descriptor
    except OSError as error:  # of whoever reads: a disk that is failing
        reason = (error.strerror or "unreadable").lower()
        raise BagError(path, f"cannot be read ({reason})", "save it from this disk") from error
    finally:
        os.close(descriptor)


def read_part(descriptor: int, offset: int, count: int) -> bytes:
    """Bytes of an open file; fewer where it ends."""
    pieces: list[bytes] = []
    while count > 0:
        piece = os.pread(descriptor, count, offset)
        if not piece:
            break
        pieces.append(piece)
        offset += len(piece)
        count -= len(piece)
    return b"".join(pieces)


def _manifest(folder: Path) -> Manifest | None:
    try:
        return load_manifest(folder)
    except InputError as error:
        raise BagError(error.place, error.problem, error.remedy) from error
