"""The sample bag again, with faults put into its messages."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from pathlib import Path

from vla_rl_nodes.bags.reader import EpisodeReader
from vla_rl_nodes.bags.rosbag2 import Topic
from vla_rl_nodes.bags.writer import EpisodeWriter

SAMPLE = Path(__file__).resolve().parents[2] / "bags" / "franka_pick_sample"
Raw = tuple[str, str, int, int, bytes]  # topic, type, log and publish times in ns, CDR
Change = Callable[[list[Raw]], list[Raw]]


def faulty(
    folder: Path,
    change: Change = lambda messages: messages,
    *,
    dropped: Mapping[str, int] | None = None,
    metadata: Mapping[str, str] | None = None,
) -> Path:
    """Records the sample's messages again, after a change of them."""
    reader = EpisodeReader(SAMPLE)
    assert reader.manifest is not None
    messages = [
        (m.topic, m.type_name, m.log_time_ns, m.publish_time_ns, bytes(m.data))
        for m in reader.raw()
    ]
    topics = {m[0]: Topic(m[0], m[1]) for m in messages}
    known = {k: v for k, v in reader.metadata.items() if k not in ("episode_id", "outcome")}
    with EpisodeWriter(
        folder, reader.manifest.episode_id, list(topics.values()), contract_yaml="",
        metadata={**known, **(metadata or {})}, start_ns=reader.manifest.start_ns,
    ) as writer:  # fmt: skip
        for topic, type_name, log, publish, data in change(messages):
            writer.write(topic, type_name, data, log, publish)
        writer.close("success", dropped=dropped)
    return folder


def stamp(message: Raw) -> int:
    """The header's stamp, ns."""
    seconds, nanoseconds = struct.unpack_from("<iI", message[4], 4)
    return int(seconds) * 1_000_000_000 + int(nanoseconds)


def stamped(message: Raw, at_ns: int) -> Raw:
    """The message with another stamp."""
    data = bytearray(message[4])
    struct.pack_into("<iI", data, 4, at_ns // 1_000_000_000, at_ns % 1_000_000_000)
    return (*message[:4], bytes(data))


def on(topic: str, change: Callable[[list[Raw]], list[Raw]]) -> Change:
    """A change of one topic's messages alone."""

    def apply(messages: list[Raw]) -> list[Raw]:
        changed = change([m for m in messages if m[0] == topic])
        return sorted(
            [*(m for m in messages if m[0] != topic), *changed], key=lambda m: m[2]
        )  # fmt: skip

    return apply
