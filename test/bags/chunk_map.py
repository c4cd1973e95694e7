"""What of a whole MCAP file must survive which damage: computed without the salvage's code."""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from pathlib import Path

from mcap.records import Message
from mcap.stream_reader import StreamReader, breakup_chunk
from mcap.writer import CompressionType, Writer

from vla_rl_nodes.bags.schemas import schema_text

from .sensor_messages import Sent

Row = tuple[str, int, int, int, bytes]  # topic, sequence, log time, publish time, bytes


@dataclass(frozen=True)
class Block:
    """One chunk: its record is [begin, end); its CRC and all that it covers is [crc_at, end)."""

    begin: int
    crc_at: int
    end: int
    rows: tuple[Row, ...]


def chunk_map(data: bytes) -> list[Block]:
    """The chunks of a whole file, by walking from length to length."""
    reader = StreamReader(io.BytesIO(data), emit_chunks=True)
    channels: dict[int, str] = {}
    chunks = [r for r in reader.records if type(r).__name__ == "Chunk"]
    blocks, at = [], 8
    while at < len(data) - 8:
        opcode, length = struct.unpack_from("<BQ", data, at)
        end = at + 9 + length
        if opcode == 6:
            rows = []
            for record in breakup_chunk(chunks[len(blocks)]):
                if type(record).__name__ == "Channel":
                    channels[record.id] = record.topic  # type: ignore[attr-defined]
                elif isinstance(record, Message):
                    rows.append(
                        (channels[record.channel_id], record.sequence, record.log_time,
                         record.publish_time, record.data)
                    )  # fmt: skip
            blocks.append(Block(at, at + 9 + 24, end, tuple(rows)))
        at = end
    assert len(blocks) == len(chunks)
    return blocks


def rows_of(blocks: list[Block]) -> list[Row]:
    return [row for block in blocks for row in block.rows]


def other_recorder(
    path: Path,
    sent: list[Sent],
    compression: CompressionType = CompressionType.NONE,
    chunked: bool = True,
    crcs: bool = True,
    chunk_size: int = 1200,
) -> bytes:
    """A file as `ros2 bag record` writes it: sequence 0, definitions in front of first use."""
    with path.open("wb") as file:
        writer = Writer(
            file, chunk_size=chunk_size, compression=compression, use_chunking=chunked,
            enable_crcs=crcs, enable_data_crcs=False,
        )  # fmt: skip
        writer.start(profile="ros2", library="libmcap 1.4")
        ids: dict[str, int] = {}
        for s in sent:
            if s.topic not in ids:
                schema = writer.register_schema(
                    s.type_name, "ros2msg", schema_text(s.type_name).encode()
                )
                ids[s.topic] = writer.register_channel(s.topic, "cdr", schema)
            writer.add_message(ids[s.topic], s.log_time_ns, s.cdr, s.publish_time_ns)
        writer.finish()  # type: ignore[no-untyped-call]
    return path.read_bytes()
