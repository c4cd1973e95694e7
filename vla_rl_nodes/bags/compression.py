"""zstd as bags use it: whole files, single messages and chunks, never larger than is allowed."""

from __future__ import annotations

import io
from typing import IO, cast

import zstandard

from vla_rl_nodes.bags.batch import LARGEST_BLOCK


def unpacked(data: bytes | memoryview, size: int | None = None) -> bytes:
    """One zstd frame unpacked.

    Args:
        data: the frame.
        size: what it must unpack to, bytes; None takes what it says, up to a gibibyte.

    Raises:
        ValueError: another size, or one above the limit.
        zstandard.ZstdError: no whole zstd frame.
    """
    claimed = zstandard.frame_content_size(bytes(data[:18]))
    limit = LARGEST_BLOCK if size is None else size
    if claimed > limit or (size is not None and claimed not in (-1, size)):
        raise ValueError(f"unpacks to {claimed} bytes")
    found = zstandard.ZstdDecompressor().decompress(data, max_output_size=limit)
    if size is not None and len(found) != size:
        raise ValueError(f"unpacks to {len(found)} bytes")
    return found


def unpacking(file: IO[bytes]) -> io.BufferedReader:
    """A zstd file as the bytes in it, to be read from front to back.

    Reading raises ``zstandard.ZstdError`` where the file is damaged; where it is cut the bytes
    end early.
    """
    stream = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True)
    return io.BufferedReader(cast(io.RawIOBase, stream), 1 << 20)
