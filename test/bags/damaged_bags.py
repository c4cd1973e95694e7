"""Damaged and hostile bags, each with a part of the line that must be said of it."""

from __future__ import annotations

import sqlite3
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import zstandard
from rosbags.rosbag2 import CompressionMode, StoragePlugin

from .foreign_bags import change, write_foreign
from .sensor_messages import JOINTS, joints, traffic

SENT = [s for s in traffic(seed=12, seconds=0.2, side=16)]
MAGIC = b"\x89MCAP0\r\n"
SQLITE = StoragePlugin.SQLITE3
HUGE = 1 << 62
BROKEN, CHECKSUM, CUT = "broken record", "checksum", "ends inside a record"
NO_NAME = "which is no name in the folder"
Make = Callable[[Path], Path]  # makes the bag in a folder and gives its path


def record(opcode: int, body: bytes, length: int | None = None) -> bytes:
    return struct.pack("<BQ", opcode, len(body) if length is None else length) + body


def text(value: bytes) -> bytes:
    return struct.pack("<I", len(value)) + value


def chunk(
    records: bytes, size: int | None = None, crc: int = 0, name: bytes = b"",
    packed_size: int | None = None,
) -> bytes:  # fmt: skip
    plain = len(records) if size is None else size
    packed = len(records) if packed_size is None else packed_size
    body = struct.pack("<QQQI", 0, 0, plain, crc) + text(name) + struct.pack("<Q", packed)
    return record(6, body + records)


SCHEMA = record(3, struct.pack("<H", 1) + text(JOINTS.encode()) + text(b"ros2msg") + text(b""))
CHANNEL = record(4, struct.pack("<HH", 1, 1) + text(b"/t") + text(b"cdr") + text(b""))
CDR = joints(np.random.default_rng(0), 5)


def message(channel: int = 1, at: int = 5, data: bytes = CDR) -> bytes:
    return record(5, struct.pack("<HIQQ", channel, 0, at, at) + data)


def mcap(*records: bytes, end: bytes | None = None) -> bytes:
    tail = record(15, bytes(4)) + record(2, bytes(20)) + MAGIC
    head = record(1, text(b"ros2") + text(b""))
    return MAGIC + head + SCHEMA + CHANNEL + b"".join(records) + (tail if end is None else end)


def bare(data: bytes, name: str = "x.mcap") -> Make:
    def make(folder: Path) -> Path:
        (folder / name).write_bytes(data)
        return folder / name

    return make


def odd(*records: bytes, end: bytes | None = None) -> Make:
    """An MCAP file with these records."""
    return bare(mcap(*records, end=end))


def changed(edit: Callable[[dict[str, object]], None]) -> Make:
    """A good folder whose metadata.yaml is edited."""

    def make(folder: Path) -> Path:
        write_foreign(folder / "bag", SENT)
        change(folder / "bag", edit)
        return folder / "bag"

    return make


def row(assignment: str) -> Make:
    """A good folder in whose database one message is changed."""
    return database(f"UPDATE messages SET {assignment} WHERE id = 5")


def info(**values: object) -> Make:
    """A good folder in whose metadata.yaml values are changed."""
    return changed(lambda found: found.update(values))


def database(*statements: str) -> Make:
    """A good folder whose database is edited."""

    def make(folder: Path) -> Path:
        write_foreign(folder / "bag", SENT, SQLITE)
        base = sqlite3.connect(folder / "bag" / "bag.db3")
        for statement in statements:
            base.execute(statement)
        base.commit()
        base.close()
        return folder / "bag"

    return make


def file_in(mode: CompressionMode, storage: StoragePlugin, edit: Callable[[bytes], bytes]) -> Make:
    """A good folder whose file is edited."""

    def make(folder: Path) -> Path:
        write_foreign(folder / "bag", SENT, storage, mode)
        (path,) = (p for p in (folder / "bag").iterdir() if p.name != "metadata.yaml")
        path.write_bytes(edit(path.read_bytes()))
        return folder / "bag"

    return make


def with_stray_page(data: bytes) -> bytes:
    """A database with one page more, which belongs to no table; all messages can be read."""
    pages = int.from_bytes(data[28:32], "big") + 1
    size = int.from_bytes(data[16:18], "big")
    return data[:28] + pages.to_bytes(4, "big") + data[32:] + bytes(size)


def metadata_text(given: str) -> Make:
    def make(folder: Path) -> Path:
        write_foreign(folder / "bag", SENT)
        (folder / "bag" / "metadata.yaml").write_text(given)
        return folder / "bag"

    return make


def packed_message(data: bytes) -> Make:
    """A bag with message compression in which the last message is these bytes."""

    def make(folder: Path) -> Path:
        write_foreign(folder / "bag", SENT, SQLITE, CompressionMode.MESSAGE)
        base = sqlite3.connect(folder / "bag" / "bag.db3")
        base.execute(
            "UPDATE messages SET data = ? WHERE id = (SELECT max(id) FROM messages)", (data,)
        )
        base.commit()
        base.close()
        return folder / "bag"

    return make


def names(*listed: str) -> Make:
    return info(relative_file_paths=list(listed))


BOMB = zstandard.compress(bytes(1 << 20))
# A frame that claims to hold 2**62 bytes.
CLAIM = b"\x28\xb5\x2f\xfd\xe0" + struct.pack("<Q", HUGE) + b"\x01\x00\x00"
FLIPPED = bytearray(mcap(chunk(message() * 3, crc=zlib.crc32(message() * 3))))
FLIPPED[FLIPPED.index(CDR) + 30] ^= 4
SPOILT = mcap(message()).replace(b"/t", b"/\xff")
CASES: dict[str, tuple[Make, str]] = {
    "empty file": (bare(b""), "is no MCAP file"),
    "only magic": (bare(MAGIC), CUT),
    "zeros": (bare(bytes(4096)), "is no MCAP file"),
    "record longer than the file": (odd(record(5, CDR, HUGE)), CUT),
    "record of the largest length": (odd(record(9, b"", 2**64 - 1)), CUT),
    "message too short": (odd(record(5, b"\1\0\0")), BROKEN),
    "message on no channel": (odd(message(channel=9)), BROKEN),
    "message in the year 2554": (odd(message(at=2**63)), BROKEN),
    "chunk of too many bytes": (odd(chunk(message(), packed_size=HUGE)), BROKEN),
    "chunk claims to unpack hugely": (odd(chunk(BOMB, HUGE, name=b"zstd")), BROKEN),
    "chunk unpacks to more": (odd(chunk(BOMB, 1000, name=b"zstd")), BROKEN),
    "chunk unpacks to less": (odd(chunk(BOMB, 2 << 20, name=b"zstd")), BROKEN),
    "chunk's frame claims hugely": (odd(chunk(CLAIM, 99, name=b"zstd")), BROKEN),
    "chunk is no zstd": (odd(chunk(b"x" * 99, 99, name=b"zstd")), BROKEN),
    "chunk is no lz4": (odd(chunk(b"x" * 99, 99, name=b"lz4")), BROKEN),
    "chunk of unknown compression": (odd(chunk(b"x", name=b"brotli")), "'brotli' chunks"),
    "chunk's name longer than it": (odd(record(6, bytes(28) + b"\xff\xff\xff\x7f")), BROKEN),
    "chunk too short": (odd(record(6, bytes(9))), BROKEN),
    "chunk CRC wrong": (odd(chunk(message(), crc=77)), CHECKSUM),
    "bit flipped in a chunk": (bare(bytes(FLIPPED)), CHECKSUM),
    "rest in a chunk": (odd(chunk(message() + b"\5\1\1")), BROKEN),
    "record leaves its chunk": (odd(chunk(record(5, CDR, 9999))), BROKEN),
    "record's length overflows": (odd(chunk(record(5, CDR, 2**64 - 9))), BROKEN),
    "channel says another topic": (
        odd(message(), CHANNEL.replace(b"/t", b"/u"), message()), BROKEN,
    ),
    "schema says another type": (
        odd(message(), SCHEMA.replace(b"Joint", b"Point")), BROKEN,
    ),
    "schema reaches beyond its record": (odd(record(3, b"\2\0\xff\xff\xff\xff")), BROKEN),
    "metadata reaches beyond": (odd(record(12, text(b"a") + b"\xff\0\0\0")), BROKEN),
    "attachment of a huge size": (
        odd(record(9, bytes(16) + text(b"a") + text(b"b") + struct.pack("<Q", HUGE))), BROKEN,
    ),
    "attachment CRC wrong": (
        odd(record(9, bytes(16) + text(b"a") + text(b"b") + bytes(8) + b"\1\2\3\4")),
        CHECKSUM,
    ),
    "topic is no text": (bare(SPOILT), BROKEN),
    "data section CRC wrong": (
        odd(message(), end=record(15, b"\1\2\3\4") + record(2, bytes(20)) + MAGIC), CHECKSUM,
    ),
    "summary CRC wrong": (
        odd(message(), end=record(15, bytes(4)) + record(2, bytes(16) + b"\1\2\3\4") + MAGIC),
        CHECKSUM,
    ),
    "other bytes at the end": (bare(mcap(message())[:-8] + b"MCAP\0\0\0\0"), "does not end as"),
    "no zstd inside": (bare(b"nothing packed", "x.mcap.zstd"), "is no MCAP file"),
    "no mcap inside zstd": (bare(BOMB, "x.mcap.zstd"), "is no MCAP file"),
    "zstd claims hugely": (bare(CLAIM, "x.mcap.zstd"), "is no MCAP file"),
    "zstd bomb of one record": (
        bare(zstandard.compress(MAGIC + record(5, b"", HUGE)), "x.mcap.zstd"), CUT,
    ),
    "flipped zstd": (
        file_in(
            CompressionMode.FILE, StoragePlugin.MCAP, lambda d: d[:200] + bytes(90) + d[290:]
        ),
        r"bag\.mcap\.zstd: .*(broken|checksum|ends|no MCAP)",
    ),
    "empty database": (bare(b"", "x.db3"), "is no rosbag2 database"),
    "mcap called a database": (bare(mcap(message()), "x.db3"), "is no rosbag2 database"),
    "database called mcap": (
        file_in(
            CompressionMode.NONE, StoragePlugin.MCAP, lambda _: b"SQLite format 3\0" + bytes(99)
        ),
        "is no MCAP file",
    ),
    "database of zeros": (bare(b"SQLite format 3\0" + bytes(9000), "x.db3"), "database broken"),
    "database cut": (
        file_in(CompressionMode.NONE, SQLITE, lambda d: d[: len(d) // 2]), "is damaged: database",
    ),
    "database with pages of noise": (
        file_in(CompressionMode.NONE, SQLITE,
                lambda d: d[:8192] + np.random.default_rng(1).bytes(40_000) + d[48_192:]),
        r"bag\.db3: is damaged",
    ),
    "database with a page of nobody": (
        file_in(CompressionMode.NONE, SQLITE, with_stray_page), "the database is malformed",
    ),
    "database without messages": (database("DROP TABLE messages"), "is no rosbag2 database"),
    "messages are a view": (
        database("ALTER TABLE messages RENAME TO m", "CREATE VIEW messages AS SELECT * FROM m"),
        "is no rosbag2 database",
    ),
    "topics lack a column": (database("ALTER TABLE topics DROP COLUMN type"), "database broken"),
    "message is a number": (row("data = 7"), "broken row"),
    "message is text": (row("data = 'x'"), "broken row"),
    "message on no topic": (row("topic_id = 99"), "broken row"),
    "time is text": (row("timestamp = 'x'"), "broken row"),
    "time before 1970": (row("timestamp = -1"), "broken row"),
    "time is a fraction": (row("timestamp = 0.5"), "broken row"),
    "topic is a number": (database("UPDATE topics SET name = x'00' WHERE id = 1"), "broken row"),
    "topic is no UTF-8": (
        database("UPDATE topics SET name = CAST(x'ff' AS TEXT) WHERE id = 1"), "database broken",
    ),
    "topic is endless": (
        database("UPDATE topics SET type = replace(hex(zeroblob(9999)), '0', 'x')"), "broken row",
    ),
    "topic is encoded otherwise": (
        database("UPDATE topics SET serialization_format = 'json'"), "is encoded as json",
    ),
    "packed message is no frame": (packed_message(b"nothing"), "no whole zstd frame"),
    "packed message is cut": (packed_message(BOMB[:-3]), "no whole zstd frame"),
    "packed message claims hugely": (packed_message(CLAIM), "no whole zstd frame"),
    "packed message is empty": (packed_message(b""), "no whole zstd frame"),
    "name leads up": (names("../bag/bag.mcap"), NO_NAME),
    "name is absolute": (names("/etc/passwd"), NO_NAME),
    "name of the folder above": (names(".."), NO_NAME),
    "name with a backslash": (names("..\\bag.mcap"), NO_NAME),
    "name with a zero": (names("bag\0.mcap"), NO_NAME),
    "name is empty": (names(""), "is listed in metadata.yaml but missing"),
    "file listed twice": (names("bag.mcap", "bag.mcap"), "twice"),
    "file missing": (names("bag.mcap", "bag_1.mcap"), "is listed in metadata.yaml but missing"),
    "file of another kind": (names("metadata.yaml"), "is listed as mcap but named otherwise"),
    "no files": (names(), "lists no files"),
    "names are numbers": (info(relative_file_paths=[1, 2]), "lists no files"),
    "version to come": (info(version=10), "is version 10"),
    "version long gone": (info(version=4), "is version 4"),
    "version is text": (info(version="nine"), "version: "),
    "storage unknown": (info(storage_identifier="x"), "is a bag in x"),
    "storage is a list": (info(storage_identifier=[]), "storage_identifier"),
    "storage of another kind": (
        info(storage_identifier="sqlite3"), "is listed as sqlite3",
    ),
    "count below zero": (info(message_count=-1), "message_count"),
    "count is too large": (info(message_count=10**30), "metadata.yaml says"),
    "compression unknown": (info(compression_mode="x"), "compressed as 'x'"),
    "compressed otherwise": (
        info(compression_mode="file", compression_format="lz4"), "with 'lz4'",
    ),
    "said to be packed": (
        info(compression_mode="message", compression_format="zstd"),
        "no whole zstd frame",
    ),
    "metadata is no mapping": (metadata_text("- 1\n"), "metadata.yaml"),
    "metadata of something else": (metadata_text("a: 1\n"), "is no bag's metadata"),
    "metadata is no YAML": (metadata_text("a: [1\n"), "metadata.yaml"),
    "metadata runs code": (
        metadata_text("!!python/object/apply:os.system ['false']\n"), "constructor",
    ),
    "metadata is nested deeply": (metadata_text("a: " + "[" * 900_000), "nested too deeply"),
    "metadata is a deep list": (metadata_text("- " * 30_000), "metadata.yaml"),
    "metadata is a deep mapping": (metadata_text("a: {a: " * 9_000), "nested too deeply"),
    "metadata is endless": (metadata_text("a: " + "b" * (2 << 20)), "metadata.yaml"),
}  # fmt: skip
