"""Files that are whole and on the disk, or not there."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import BinaryIO


class HashedFile:
    """An output file and the SHA-256 of what went into it, so that nothing is read back."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.sha256 = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes) -> int:
        """Appends bytes and returns their number."""
        self._file.write(data)
        self.sha256.update(data)
        self.size += len(data)
        return len(data)

    def tell(self) -> int:
        """Bytes written so far."""
        return self.size

    def flush(self) -> None:
        """Hands what is buffered to the operating system."""
        self._file.flush()


def write_durably(path: Path, data: bytes) -> None:
    """Writes a file under a temporary name, syncs it, renames it and syncs the folder."""
    temporary = path.with_name(f".{path.name}.part")
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Makes the names in a folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
