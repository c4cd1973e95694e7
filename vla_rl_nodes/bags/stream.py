"""One MCAP file from front to back, up to where it is whole."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path

import numpy as np
from mcap.exceptions import McapError
from mcap.opcode import Opcode
from mcap.records import Attachment, DataEnd, Footer, Metadata
from zstandard import ZstdError

from vla_rl_nodes.bags.batch import LARGEST_BLOCK, Batch
from vla_rl_nodes.bags.compression import unpacking
from vla_rl_nodes.bags.crc import crc32, crc32_joined
from vla_rl_nodes.bags.mcap_records import (
    HEAD,
    BrokenRecordError,
    Channels,
    ChecksumError,
    open_chunk,
    parsed,
)
from vla_rl_nodes.errors import InputError

_MAGIC = b"\x89MCAP0\r\n"
_LOOSE_BYTES = 1 << 20  # messages outside of chunks are given out in blocks of this size
_DATA_END = struct.Struct("<BQI")
_FOOTER = struct.Struct("<BQQQI8s")  # and the magic behind it
_FOOTER_SUMMED = 16  # bytes of the footer that its own CRC covers

Piece = Batch | Attachment | Metadata


class DamageError(Exception):
    """Where a file stops being whole: ``cut`` in the middle of a record, or changed bytes."""

    def __init__(self, problem: str, offset: int, cut: bool) -> None:
        self.problem = problem
        self.offset = offset
        self.cut = cut
        super().__init__(problem)


class _CutError(Exception):
    """The file ends before a record does."""


class _MagicError(Exception):
    """Other bytes than MCAP's magic."""


# What is raised when bytes are not what they should be: lengths, text, compression.
BROKEN: tuple[type[Exception], ...] = (
    McapError, ZstdError, struct.error, ValueError, KeyError, IndexError, RuntimeError,
    OverflowError, MemoryError,
)  # fmt: skip


def batches(path: Path, packed: bool = False) -> Iterator[Piece]:
    """Messages in the order in which they were written, attachments and metadata records.

    Every chunk's CRC, where it has one, is checked before any of its messages is given out; an
    attachment's likewise; those of the data section and of the summary when they end.

    Args:
        path: the file.
        packed: whether it is an MCAP file inside a zstd file; offsets are those of the former.

    Raises:
        InputError: the file cannot be opened or is no MCAP file.
        DamageError: behind this point the file is cut or changed.
    """
    with opened(path) as file:
        reading = _Reading(path, file, packed)
        try:
            yield from reading.pieces()
        except InputError:
            raise
        except _CutError as error:
            if reading.whole_until == 0:
                raise _no_mcap(path) from error
            raise reading.damage("ends inside a record at byte {}", cut=True) from error
        except _MagicError as error:
            if reading.whole_until == 0:
                raise _no_mcap(path) from error
            raise reading.damage("does not end as an MCAP file") from error
        except ChecksumError as error:
            raise reading.damage("checksum (CRC) wrong at byte {}") from error
        except BROKEN as error:
            if packed and reading.whole_until == 0:
                raise _no_mcap(path) from error
            raise reading.damage("broken record at byte {}") from error


def opened(path: Path) -> BufferedReader:
    """The file, for reading.

    Raises:
        InputError: it cannot be opened.
    """
    try:
        return path.open("rb")
    except OSError as error:
        reason = (error.strerror or "unreadable").lower()
        raise InputError(path, f"cannot be read ({reason})", "check the path") from error


def _no_mcap(path: Path) -> InputError:
    return InputError(path, "is no MCAP file", "give a recorded episode")


class _Source:
    """A file that is read from front to back, with the CRC of what was read."""

    def __init__(self, file: BufferedReader, packed: bool) -> None:
        self._file = file
        self._total = file.seek(0, 2)
        self.summed = packed or _has_data_crc(file, self._total)
        file.seek(0)
        self._bytes = unpacking(file) if packed else file
        # One block for all chunks: fresh memory costs more than it takes to fill it, and another
        # thread that reads the next one meanwhile cost more than it saved.
        self._block = bytearray(_LOOSE_BYTES)
        self._size = None if packed else self._total
        self.offset = 0
        self.crc = 0

    def read(self, length: int) -> bytes:
        """So many bytes; they count in the CRC."""
        self._require(length)
        data = self._bytes.read(length)
        if len(data) != length:
            raise _CutError
        self.offset += length
        if self.summed:
            self.crc = crc32(data, self.crc)
        return data

    def lend(self, length: int) -> memoryview:
        """So many bytes, in a block that is used again; the caller adds them to the CRC."""
        self._require(length)
        if length > len(self._block):
            self._block = bytearray(length)
        view = memoryview(self._block)[:length]
        if self._bytes.readinto(view) != length:
            raise _CutError
        self.offset += length
        return view

    def _require(self, length: int) -> None:
        if length > (LARGEST_BLOCK if self._size is None else self._size - self.offset):
            raise _CutError

    @property
    def progress(self) -> float:
        """Share of the file that was read."""
        return max(self._file.tell(), 1) / max(self._total, 1)


class _Reading:
    """One pass over a file; ``whole_until`` is where its last whole record ended."""

    def __init__(self, path: Path, file: BufferedReader, packed: bool) -> None:
        self._path = path
        self._source = _Source(file, packed)
        self._channels = Channels()
        self._loose: list[bytes] = []
        self._loose_bytes = 0
        self._in_summary = False
        self._ended = False
        self.whole_until = 0

    def damage(self, problem: str, cut: bool = False) -> DamageError:
        """What ended the reading, at the end of what is whole."""
        return DamageError(problem.format(self.whole_until), self.whole_until, cut)

    def pieces(self) -> Iterator[Piece]:
        """All that is whole; what is raised in between is raised only then."""
        if self._source.read(len(_MAGIC)) != _MAGIC:
            raise _MagicError
        self.whole_until = self._source.offset
        while not self._ended:
            try:
                piece = self._next()
            except Exception:
                yield from self._loose_messages()
                raise
            if self._loose_bytes >= _LOOSE_BYTES or isinstance(piece, Batch) or self._ended:
                yield from self._loose_messages()
            self.whole_until = self._source.offset
            if piece is not None:
                yield piece

    def _loose_messages(self) -> Iterator[Batch]:
        if self._loose:
            bodies, self._loose, self._loose_bytes = self._loose, [], 0
            lengths = np.array([len(body) for body in bodies], dtype=np.int64)
            starts = np.cumsum(lengths) - lengths
            data = b"".join(bodies)
            yield self._channels.batch(data, starts, lengths, self._source.progress)

    def _next(self) -> Piece | None:
        """Reads one record; gives out those that are of use outside."""
        source = self._source
        before = source.crc
        head = source.read(HEAD.size)
        opcode, length = HEAD.unpack(head)
        if opcode == Opcode.CHUNK:
            return self._chunk(source.lend(length))
        body = source.read(length)
        if opcode == Opcode.MESSAGE:
            self._channels.check(body)
            self._loose.append(body)
            self._loose_bytes += length
        elif opcode == Opcode.ATTACHMENT:
            attachment: Attachment = parsed(Attachment.read, body)
            _check(int.from_bytes(body[-4:], "little"), body[:-4], 0)
            return attachment
        elif opcode == Opcode.METADATA:
            metadata: Metadata = parsed(Metadata.read, body)
            return metadata
        elif opcode == Opcode.DATA_END:
            expected = parsed(DataEnd.read, body).data_section_crc
            if expected and not source.summed:
                raise BrokenRecordError("the file has two ends")
            _check(expected, b"", before)
            source.crc, source.summed, self._in_summary = 0, True, True
        elif opcode == Opcode.FOOTER:
            footer = parsed(Footer.read, body)
            if self._in_summary:
                _check(footer.summary_crc, head + body[:_FOOTER_SUMMED], before)
            self.whole_until = source.offset
            if source.read(len(_MAGIC)) != _MAGIC:
                raise _MagicError
            self._ended = True
        else:
            self._channels.add(opcode, body)
        return None

    def _chunk(self, body: memoryview) -> Batch:
        source = self._source
        chunk = open_chunk(body, self._path)
        if source.summed and chunk.crc is None:
            source.crc = crc32(body, source.crc)
        elif source.summed and chunk.crc is not None:
            head = crc32(body[: chunk.packed_at], source.crc)
            source.crc = crc32_joined(head, chunk.crc, len(body) - chunk.packed_at)
        return self._channels.messages_of_chunk(chunk.records, source.progress)


def _check(expected: int, data: bytes, crc: int) -> None:
    if expected and crc32(data, crc) != expected:
        raise ChecksumError("a CRC is wrong")


def _has_data_crc(file: BufferedReader, size: int) -> bool:
    """Whether the data section may have a CRC; False only where its end says that it has none."""
    if size < _FOOTER.size + _DATA_END.size:
        return True
    file.seek(size - _FOOTER.size)
    _, _, summary_start, _, _, magic = _FOOTER.unpack(file.read(_FOOTER.size))
    end = summary_start or size - _FOOTER.size
    if magic != _MAGIC or not _DATA_END.size <= end <= size:
        return True
    file.seek(end - _DATA_END.size)
    opcode, length, crc = _DATA_END.unpack(file.read(_DATA_END.size))
    return bool(opcode != Opcode.DATA_END or length != 4 or crc != 0)
