"""Bags of few bytes, so that every byte of them can be damaged."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from vla_rl_nodes.bags.rosbag2 import Topic
from vla_rl_nodes.bags.salvage_file import examine
from vla_rl_nodes.bags.salvage_source import Source
from vla_rl_nodes.bags.writer import EpisodeWriter

from .chunk_map import Row
from .sensor_messages import START_NS, Sent

BOOL, FLOAT = "std_msgs/msg/Bool", "std_msgs/msg/Float64"
TINY_TOPICS = (Topic("/r/a", BOOL), Topic("/r/b", FLOAT), Topic("/r/unused", BOOL))


def tiny_traffic(seed: int, chunks: int = 5, per_chunk: int = 6) -> list[Sent]:
    """Messages on two topics, each chunk of ``EpisodeWriter`` filled with the same number."""
    rng = np.random.default_rng(seed)
    sent = []
    for index in range(chunks * per_chunk):
        at = START_NS + index * 550_000_000 // per_chunk
        topic = TINY_TOPICS[int(rng.integers(2))]
        body = rng.bytes(1 if topic.type == BOOL else 12)
        sent.append(Sent(topic.name, topic.type, b"\0\1\0\0" + body, at, at - 1000))
    return sent


def write_tiny(folder: Path, sent: list[Sent]) -> bytes:
    """The file of a closed bag."""
    writer = EpisodeWriter(
        folder, folder.name, TINY_TOPICS, contract_yaml="a: 1\n", metadata={"robot": "fr3"},
        start_ns=START_NS,
    )  # fmt: skip
    for s in sent:
        writer.write(s.topic, s.type_name, s.cdr, s.log_time_ns, s.publish_time_ns)
    writer.close("success")
    return (folder / f"{folder.name}.mcap").read_bytes()


def recovered(data: bytes) -> tuple[list[Row], list[Row]]:
    """What is salvaged of a file with these bytes: messages that a CRC vouches for, and others."""
    checked: list[Row] = []
    unchecked: list[Row] = []
    descriptor = os.memfd_create("damaged")
    try:
        os.write(descriptor, data)
        with Source(Path(f"/proc/self/fd/{descriptor}")) as source:
            for m in examine(source).messages():
                row = m.channel.topic, m.sequence, m.log_time_ns, m.publish_time_ns, m.data
                (checked if m.checked else unchecked).append(row)
    finally:
        os.close(descriptor)
    return checked, unchecked
