"""A damaged MCAP file: its bytes, its records taken strictly, and what its summary says."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from mcap.data_stream import RecordBuilder
from mcap.opcode import Opcode
from mcap.records import (
    Attachment,
    AttachmentIndex,
    Channel,
    ChunkIndex,
    DataEnd,
    Footer,
    Header,
    MessageIndex,
    Metadata,
    MetadataIndex,
    Schema,
    Statistics,
    SummaryOffset,
)

from vla_rl_nodes.bags.crc import crc32
from vla_rl_nodes.bags.mcap_records import HEAD, BrokenRecordError, parsed
from vla_rl_nodes.errors import InputError

MAGIC = b"\x89MCAP0\r\n"
LARGEST_RECORD = 256 << 20  # bytes, packed or unpacked: memory stays within a few of these
_WINDOW = 1 << 20
_FOOTER_BYTES = HEAD.size + 20
_LARGEST_SUMMARY = 64 << 20
_KINDS: dict[int, Any] = {
    Opcode.HEADER: Header, Opcode.FOOTER: Footer, Opcode.SCHEMA: Schema, Opcode.CHANNEL: Channel,
    Opcode.MESSAGE_INDEX: MessageIndex, Opcode.CHUNK_INDEX: ChunkIndex,
    Opcode.ATTACHMENT: Attachment, Opcode.ATTACHMENT_INDEX: AttachmentIndex,
    Opcode.STATISTICS: Statistics, Opcode.METADATA: Metadata,
    Opcode.METADATA_INDEX: MetadataIndex, Opcode.SUMMARY_OFFSET: SummaryOffset,
    Opcode.DATA_END: DataEnd,
}  # fmt: skip


class Source:
    """The bytes of a file, wherever they stand; what lies behind its end reads as nothing.

    Raises:
        InputError: the file cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._file = path.open("rb", buffering=0)
        except OSError as error:
            reason = (error.strerror or "unreadable").lower()
            raise InputError(path, f"cannot be read ({reason})", "check the path") from error
        self._descriptor = self._file.fileno()
        self.size = os.fstat(self._descriptor).st_size

    def __enter__(self) -> Source:
        return self

    def __exit__(self, *raised: object) -> None:
        self._file.close()

    def read(self, offset: int, length: int) -> bytes:
        """Bytes from an offset on, fewer where the file ends.

        Raises:
            InputError: the disk cannot read them.
        """
        length = min(length, self.size - offset)
        pieces = []
        while length > 0:
            try:
                piece = os.pread(self._descriptor, length, offset)
            except OSError as error:
                reason = (error.strerror or "input/output error").lower()
                raise InputError(
                    self.path, f"cannot be read at byte {offset} ({reason})", "copy the disk first"
                ) from error
            if not piece:
                break
            pieces.append(piece)
            offset, length = offset + len(piece), length - len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def matches(self, pattern: re.Pattern[bytes], start: int, end: int) -> Iterator[int]:
        """Where a pattern of at most 64 bytes begins in [start, end), in ascending order."""
        at = start
        while at < end:
            window = self.read(at, min(_WINDOW, end - at) + 64)
            for match in pattern.finditer(window):
                if match.start() >= min(_WINDOW, end - at):
                    break
                yield at + match.start()
            at += _WINDOW

    def hashes(self, crc_end: int) -> tuple[str, int]:
        """SHA-256 of the whole file, and the CRC-32 of what stands in front of ``crc_end``."""
        sha256, crc, at = hashlib.sha256(), 0, 0
        while at < self.size:
            block = self.read(at, _WINDOW)
            if not block:
                break
            sha256.update(block)
            if at < crc_end:
                crc = crc32(block[: crc_end - at], crc)
            at += len(block)
        return sha256.hexdigest(), crc


def strict(opcode: int, body: bytes) -> Any | None:
    """A record, other than a chunk or a message, that fills its bytes exactly; else None."""
    kind = _KINDS.get(opcode)
    if kind is None:
        return None
    try:
        record = parsed(kind.read, body)
    except (BrokenRecordError, ValueError, EOFError):
        return None
    # Written again it is as long as it was: no length inside was stretched or cut.
    return record if _written(record) == len(body) else None


def _written(record: Any) -> int:
    builder = RecordBuilder()
    record.write(builder)
    return builder.count - HEAD.size


def attachment_is_intact(body: bytes) -> bool:
    """Whether an attachment has the CRC that it carries; one without a CRC counts as intact."""
    crc = int.from_bytes(body[-4:], "little")
    return crc == 0 or crc32(body[:-4]) == crc


class Summary(NamedTuple):
    """What stands behind a file's data; ``checked`` says whether its CRC vouches for it."""

    records: tuple[Any, ...]
    start: int
    checked: bool


def read_summary(source: Source) -> Summary | None:
    """The summary of a file that ends as it should; None where it does not."""
    end = source.size - len(MAGIC) - _FOOTER_BYTES
    tail = source.read(end, source.size - end) if end > 0 else b""
    if not tail.endswith(MAGIC) or HEAD.unpack_from(tail) != (Opcode.FOOTER, 20):
        return None
    footer = strict(Opcode.FOOTER, tail[HEAD.size : _FOOTER_BYTES])
    if footer is None or not 0 < footer.summary_start <= end:
        return None
    if end - footer.summary_start > _LARGEST_SUMMARY:
        return None
    data = source.read(footer.summary_start, end - footer.summary_start)
    crc = crc32(tail[: HEAD.size + 16], crc32(data))
    if footer.summary_crc and crc != footer.summary_crc:
        return None
    records, at = [], 0
    while at < len(data):
        body = at + HEAD.size
        opcode, length = HEAD.unpack_from(data, at) if body <= len(data) else (0, 0)
        record = strict(opcode, data[body : body + length])
        if record is None:
            return None
        records.append(record)
        at = body + length
    return Summary(tuple(records), footer.summary_start, footer.summary_crc != 0)
