"""What a reader needs of a bag's beginning, written more than once and with a CRC of its own.

MCAP declares schemas and channels in the first chunk and gives metadata no CRC: if the first chunk
of a bag that was never closed is damaged, nothing behind it could be told apart.
"""

from __future__ import annotations

import json
import zlib
from typing import NamedTuple

from mcap.records import Metadata
from pydantic import BaseModel, ConfigDict, ValidationError

COPY_RECORD = "vla_rl_nodes.copy"


class StartCopy(NamedTuple):
    """A bag's metadata, its start in nanoseconds, and id, topic and type of its channels."""

    metadata: dict[str, str]
    start_ns: int
    channels: tuple[tuple[int, str, str], ...]

    def record(self) -> dict[str, str]:
        """The contents of the metadata record ``COPY_RECORD``."""
        text = json.dumps(self._asdict(), separators=(",", ":"))
        return {"json": text, "crc32": _crc32(text)}


def read_copy(record: Metadata) -> StartCopy | None:
    """The copy in a metadata record; None where it is none, or its CRC says that it changed."""
    text = record.metadata.get("json", "")
    if record.name != COPY_RECORD or record.metadata.get("crc32") != _crc32(text):
        return None
    try:
        data = _Fields.model_validate_json(text)
    except ValidationError:
        return None  # a CRC is no proof of where a file comes from
    return StartCopy(data.metadata, data.start_ns, tuple(data.channels))


class _Fields(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    metadata: dict[str, str]
    start_ns: int
    channels: list[tuple[int, str, str]]


def _crc32(text: str) -> str:
    return f"{zlib.crc32(text.encode()):08x}"
