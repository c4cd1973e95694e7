"""Messages of rosbag2's SQLite storage, read without writing a byte beside the file."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import quote

import numpy as np
from zstandard import ZstdError

from vla_rl_nodes.bags.batch import LATEST_NS, Batch, Channel
from vla_rl_nodes.bags.compression import unpacking
from vla_rl_nodes.bags.stream import DamageError, opened
from vla_rl_nodes.errors import InputError

_MAGIC = b"SQLite format 3\x00"
_BLOCK_BYTES = 1 << 20
_LONGEST_NAME = 1024
_Row = tuple[int, int, int, bytes]


def batches(path: Path, packed: bool = False) -> Iterator[Batch]:
    """Messages in the order in which they were written; SQLite keeps no checksums of them.

    The publish time is the log time: this storage keeps one time.

    Args:
        path: the ``.db3`` file.
        packed: whether it lies inside a zstd file; it is then unpacked to a temporary one.

    Raises:
        InputError: the file cannot be opened or is no rosbag2 database.
        DamageError: behind this point the database is cut or changed.
    """
    with opened(path) as file:
        if not packed and file.read(len(_MAGIC)) != _MAGIC:
            raise _no_bag(path)
    if packed:
        with _unpacked(path) as plain:
            yield from _read(path, plain)
    else:
        yield from _read(path, path)


def _no_bag(path: Path) -> InputError:
    return InputError(path, "is no rosbag2 database", "give a recorded .db3 file")


@contextmanager
def _unpacked(path: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="vla-rl-bag-") as folder, opened(path) as file:
        plain = Path(folder) / "bag.db3"
        allowed = shutil.disk_usage(folder).free // 2
        try:
            with plain.open("wb") as out:
                stream = unpacking(file)
                while block := stream.read(_BLOCK_BYTES):
                    allowed -= len(block)
                    if allowed < 0:
                        raise InputError(
                            path, "unpacks to more than half of the free space",
                            "unpack it with zstd where there is room",
                        )  # fmt: skip
                    out.write(block)
        except ZstdError as error:
            raise DamageError("its zstd data is broken", 0, cut=False) from error
        except OSError as error:
            reason = (error.strerror or "input/output error").lower()
            raise InputError(
                path, f"cannot be unpacked ({reason})", "free space in the temporary folder"
            ) from error
        with plain.open("rb") as unpacked_file:
            if unpacked_file.read(len(_MAGIC)) != _MAGIC:
                raise _no_bag(path)
        yield plain


def _read(path: Path, plain: Path) -> Iterator[Batch]:
    # Immutable: SQLite looks for no journal then and takes no lock. So one with content is damage.
    for ending in ("-wal", "-journal"):
        beside = plain.with_name(plain.name + ending)
        if beside.is_file() and beside.stat().st_size:
            raise DamageError(f"its recorder left {beside.name} beside it", 0, cut=True)
    read = 0
    try:
        address = f"file:{quote(str(plain.absolute()))}?mode=ro&immutable=1"
        with closing(sqlite3.connect(address, uri=True)) as base:
            base.execute("PRAGMA trusted_schema = OFF")
            table = _topics(path, base)
            verdict = base.execute("PRAGMA quick_check(1)").fetchone()
            for rows, done in _blocks(base):
                batch = _batch(rows, table, done)
                read += len(batch)
                yield batch
            if verdict != ("ok",):
                raise DamageError("the database is malformed", read, cut=False)
    except (sqlite3.Error, sqlite3.Warning, OverflowError, MemoryError) as error:
        raise DamageError(f"database broken behind message {read}", read, cut=False) from error
    except (ValueError, TypeError, KeyError) as error:
        if isinstance(error, InputError):
            raise
        raise DamageError(f"broken row behind message {read}", read, cut=False) from error


def _topics(path: Path, base: sqlite3.Connection) -> dict[int, Channel]:
    """The channels by their keys. A view would be refused: it may compute anything."""
    found = base.execute(
        "SELECT count(*) FROM sqlite_master"
        " WHERE type = 'table' AND name IN ('topics', 'messages')"
    ).fetchone()
    if found != (2,):
        raise _no_bag(path)
    table: dict[int, Channel] = {}
    for key, name, type_name, encoding in base.execute(
        "SELECT id, name, type, serialization_format FROM topics ORDER BY id"
    ):
        texts = (name, type_name, encoding)
        if not isinstance(key, int) or key in table:
            raise ValueError("a topic's key is wrong")
        if not all(isinstance(text, str) and len(text) <= _LONGEST_NAME for text in texts):
            raise ValueError("a topic's name, type or format is no text")
        table[key] = Channel(name, type_name, encoding)
    return table


def _blocks(base: sqlite3.Connection) -> Iterator[tuple[list[_Row], float]]:
    """Rows in blocks of about a mebibyte, each with the share of the rows read by then."""
    (total,) = base.execute("SELECT count(*) FROM messages").fetchone()
    rows: list[_Row] = []
    size = 0
    query = "SELECT id, topic_id, timestamp, data FROM messages ORDER BY id"
    for count, row in enumerate(base.execute(query), start=1):
        rows.append(row)
        size += len(row[3])
        if size >= _BLOCK_BYTES:
            yield rows, count / total
            rows, size = [], 0
    if rows:
        yield rows, 1.0


def _batch(rows: list[_Row], table: dict[int, Channel], progress: float) -> Batch:
    for _, topic, stamp, data in rows:
        if topic not in table or not isinstance(data, bytes):
            raise ValueError("a message is of no topic or no bytes")
        if not isinstance(stamp, int) or not 0 <= stamp <= LATEST_NS:
            raise ValueError("a message has an impossible time")
    sizes = np.array([len(row[3]) for row in rows], dtype=np.int64)
    stamps = np.array([row[2] for row in rows], dtype=np.int64)
    return Batch(
        b"".join([row[3] for row in rows]),
        np.cumsum(sizes) - sizes,
        sizes,
        np.array([row[1] for row in rows], dtype=np.int64),
        stamps,
        stamps,
        np.zeros(len(rows), dtype=np.int64),
        table,
        progress,
    )
