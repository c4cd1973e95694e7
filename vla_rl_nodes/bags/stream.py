"""The records of one MCAP file in order, up to where the file is whole."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

from mcap.exceptions import (
    EndOfFile,
    InvalidMagic,
    McapError,
    RecordLengthLimitExceeded,
    UnsupportedCompressionError,
)
from mcap.records import Attachment, Channel, Chunk, Message, Metadata, Schema
from mcap.stream_reader import CRCValidationError, StreamReader, breakup_chunk
from zstandard import ZstdError

from vla_rl_nodes.errors import InputError


class DamageError(Exception):
    """Where a file stops being whole: ``cut`` in the middle of a record, or changed bytes."""

    def __init__(self, problem: str, offset: int, cut: bool) -> None:
        self.problem = problem
        self.offset = offset
        self.cut = cut
        super().__init__(problem)


class RawMessage(NamedTuple):
    """One recorded message: its CDR bytes as they came. Times in nanoseconds."""

    topic: str
    type_name: str
    log_time_ns: int
    publish_time_ns: int
    sequence: int
    data: bytes


Record = RawMessage | Attachment | Metadata


class _WholeReads:
    """A file that raises at a short read, which the library would take for a whole record."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.offset = 0

    def read(self, length: int) -> bytes:
        data = self._file.read(length)
        if len(data) != length:
            raise EndOfFile
        self.offset += length
        return data


def records(path: Path) -> Iterator[Record]:
    """Messages in the order in which they were written, attachments and metadata records.

    Every chunk's CRC, where it has one, is checked before any of its messages is given out, and
    the data section's when its end is reached.

    Raises:
        InputError: the file cannot be opened or is no MCAP file.
        DamageError: behind this point the file is cut or changed.
    """
    try:
        size = path.stat().st_size
        file = path.open("rb")
    except OSError as error:
        reason = (error.strerror or "unreadable").lower()
        raise InputError(path, f"cannot be read ({reason})", "check the path") from error
    with file:
        source = _WholeReads(file)
        reader = StreamReader(
            cast(IO[bytes], source), emit_chunks=True, validate_crcs=True, record_size_limit=size
        )
        schemas: dict[int, Schema] = {}
        channels: dict[int, Channel] = {}
        start = 0
        try:
            for record in reader.records:
                inner = (
                    breakup_chunk(record, validate_crc=True)
                    if isinstance(record, Chunk)
                    else [record]
                )
                for item in inner:
                    if isinstance(item, Message):
                        channel = channels[item.channel_id]
                        yield _message(channel, schemas.get(channel.schema_id), item)
                    elif isinstance(item, Channel):
                        channels[item.id] = item
                    elif isinstance(item, Schema):
                        schemas[item.id] = item
                    elif isinstance(item, Attachment | Metadata):
                        yield item
                start = source.offset
        except InputError:
            raise
        except (EndOfFile, RecordLengthLimitExceeded) as error:  # longer than the file
            if size < 8:
                raise InputError(path, "is no MCAP file", "give a recorded episode") from error
            raise DamageError(f"ends inside a record at byte {start}", start, cut=True) from error
        except InvalidMagic as error:
            if start == 0:
                raise InputError(path, "is no MCAP file", "give a recorded episode") from error
            raise DamageError("does not end as an MCAP file", start, cut=False) from error
        except UnsupportedCompressionError as error:
            raise InputError(path, str(error), "compress its chunks with zstd or lz4") from error
        except CRCValidationError as error:
            raise DamageError(f"checksum (CRC) wrong at byte {start}", start, cut=False) from error
        except _BROKEN as error:
            raise DamageError(f"broken record at byte {start}", start, cut=False) from error


# What the library raises when bytes are not what they should be: lengths, text, compression.
_BROKEN: tuple[type[Exception], ...] = (
    McapError, ZstdError, struct.error, UnicodeDecodeError, ValueError, KeyError, RuntimeError,
    OverflowError, MemoryError,
)  # fmt: skip


def _message(channel: Channel, schema: Schema | None, message: Message) -> RawMessage:
    if channel.message_encoding != "cdr":
        raise InputError(
            channel.topic,
            f"is encoded as {channel.message_encoding or 'nothing'}, not cdr",
            "record it with ROS 2's default serialisation",
        )
    data: Any = message.data
    return RawMessage(
        channel.topic,
        schema.name if schema is not None else "",
        message.log_time,
        message.publish_time,
        message.sequence,
        data,
    )
