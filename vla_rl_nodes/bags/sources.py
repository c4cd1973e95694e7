"""The files of a bag in the order in which they were recorded, whatever wrote them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from zstandard import ZstdError

from vla_rl_nodes.bags import sqlite, stream
from vla_rl_nodes.bags.bag_metadata import BagMetadata, load_bag_metadata
from vla_rl_nodes.bags.batch import Batch
from vla_rl_nodes.bags.compression import unpacked
from vla_rl_nodes.bags.manifest import Manifest
from vla_rl_nodes.bags.stream import DamageError, Piece
from vla_rl_nodes.errors import InputError

_ENDINGS = (".mcap", ".db3", ".mcap.zstd", ".db3.zstd")
_NUMBERED = re.compile(r"(.*)_(\d{1,9})")


@dataclass(frozen=True)
class Source:
    """One file of a bag; ``messages_packed`` where each message is a zstd frame."""

    path: Path
    messages_packed: bool = False

    def pieces(self) -> Iterator[Piece]:
        """Its messages and, in MCAP, its attachments and metadata records.

        Raises:
            InputError: the file cannot be read or is of another kind than its name says.
            DamageError: behind this point the file is cut or changed.
        """
        name = self.path.name
        packed = name.endswith(".zstd")
        kind = sqlite if name.removesuffix(".zstd").endswith(".db3") else stream
        for piece in kind.batches(self.path, packed):
            if self.messages_packed and isinstance(piece, Batch):
                yield _unpacked(piece)
            else:
                yield piece


def _unpacked(batch: Batch) -> Batch:
    messages = []
    for start, size in zip(batch.starts.tolist(), batch.sizes.tolist(), strict=True):
        try:
            messages.append(unpacked(memoryview(batch.data)[start : start + size]))
        except (ZstdError, ValueError, MemoryError) as error:
            raise DamageError("a message is no whole zstd frame", 0, cut=False) from error
    sizes = np.array([len(message) for message in messages], dtype=np.int64)
    starts = np.cumsum(sizes) - sizes
    return replace(batch, data=b"".join(messages), starts=starts, sizes=sizes)


def find_sources(
    path: Path, manifest: Manifest | None
) -> tuple[tuple[Source, ...], BagMetadata | None]:
    """The files of a bag, and its metadata.yaml where that says which they are.

    Args:
        path: a bag's folder, or one of its files.
        manifest: of the folder, where it has one: it then names the file.

    Raises:
        InputError: no bag, or a list of files that cannot be followed.
    """
    if path.is_file():
        if not path.name.endswith(_ENDINGS):
            raise InputError(
                path, "is no MCAP or SQLite file", "give a bag's folder or its .mcap or .db3 file"
            )
        return (Source(path),), None
    if not path.is_dir():
        raise InputError(path, "does not exist", "check the path")
    if manifest is not None:
        return (Source(path / manifest.file),), None
    metadata = load_bag_metadata(path)
    if metadata is not None:
        listed = tuple(
            Source(path / name, metadata.messages_packed) for name in metadata.relative_file_paths
        )
        wrong = next((s.path for s in listed if not _fits(s.path, metadata)), None)
        if wrong is not None:
            raise InputError(
                wrong, f"is listed as {metadata.storage_identifier} but named otherwise",
                "fetch the bag again",
            )  # fmt: skip
        return listed, metadata
    return _unlisted(path), None


def _fits(file: Path, metadata: BagMetadata) -> bool:
    kind = {"mcap": ".mcap", "sqlite3": ".db3"}[metadata.storage_identifier]
    return file.name.removesuffix(".zstd").endswith(kind)


def _unlisted(folder: Path) -> tuple[Source, ...]:
    """The only recording in a folder without metadata.yaml, or the parts of one by number."""
    found = [file for file in folder.iterdir() if file.name.endswith(_ENDINGS) and file.is_file()]
    if not found:
        raise InputError(
            folder, "holds no .mcap or .db3 file", "give the folder of one recorded episode"
        )
    if len(found) == 1:
        return (Source(found[0]),)
    parts: dict[int, Path] = {}
    names = set()
    for file in found:
        stem = file.name.removesuffix(".zstd").rpartition(".")[0]
        numbered = _NUMBERED.fullmatch(stem)
        if numbered is not None:
            names.add(numbered[1])
            parts[int(numbered[2])] = file
    if len(names) != 1 or sorted(parts) != list(range(len(found))):
        raise InputError(
            folder, f"holds {len(found)} recordings and no metadata.yaml", "give one of the files"
        )
    return tuple(Source(parts[number]) for number in range(len(found)))
