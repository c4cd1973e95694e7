"""What rosbag2 expects beside the messages: offered QoS profiles and metadata.yaml, version 9."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import yaml

from vla_rl_nodes.bags.schemas import DISTRIBUTION, schema_text, type_hash
from vla_rl_nodes.errors import InputError

_TOPIC_NAME = re.compile(r"(/[A-Za-z_][A-Za-z0-9_]*)+")
_FOREVER = {"sec": 9223372036, "nsec": 854775807}


@dataclass(frozen=True)
class Qos:
    """The part of a publisher's QoS profile that decides what a recording can have missed."""

    reliability: Literal["reliable", "best_effort"] = "reliable"
    durability: Literal["volatile", "transient_local"] = "volatile"
    history: Literal["keep_last", "keep_all"] = "keep_last"
    depth: int = 10

    def profile(self) -> dict[str, Any]:
        """The profile in the form of metadata version 9."""
        return {
            "history": self.history,
            "depth": self.depth,
            "reliability": self.reliability,
            "durability": self.durability,
            "deadline": dict(_FOREVER),
            "lifespan": dict(_FOREVER),
            "liveliness": "automatic",
            "liveliness_lease_duration": dict(_FOREVER),
            "avoid_ros_namespace_conventions": False,
        }


@dataclass(frozen=True)
class Topic:
    """A topic that is recorded: its full name, its type and the QoS that its publishers offer.

    ``type_hash`` is the type's RIHS01 hash where the type is not among those known here.
    """

    name: str
    type: str
    qos: tuple[Qos, ...] = ()
    type_hash: str | None = None

    def qos_text(self) -> str:
        """The offered profiles as YAML, for the channel's metadata."""
        return yaml.safe_dump([q.profile() for q in self.qos], sort_keys=False).strip()


def declared(topics: Sequence[Topic]) -> dict[str, Topic]:
    """The topics by name.

    Raises:
        InputError: a name that is not full or stands twice, or an unknown type.
    """
    by_name: dict[str, Topic] = {}
    for topic in topics:
        if not _TOPIC_NAME.fullmatch(topic.name):
            raise InputError(
                f"topic '{topic.name}'", "is not a full topic name", "write it as /robot/topic"
            )
        if topic.name in by_name:
            raise InputError(topic.name, "is declared twice", "declare each topic once")
        schema_text(topic.type)
        by_name[topic.name] = topic
    return by_name


def information(
    file_name: str,
    topics: Sequence[Topic],
    counts: Mapping[str, int],
    start_ns: int,
    end_ns: int,
    custom: Mapping[str, str],
) -> dict[str, Any]:
    """The mapping under ``rosbag2_bagfile_information`` for a bag of one file.

    Args:
        file_name: of the MCAP file, relative to the bag's folder.
        topics: in the order of their channels.
        counts: messages per topic name.
        start_ns: earliest log time, nanoseconds.
        end_ns: latest log time, nanoseconds.
        custom: ``custom_data``.
    """
    total = sum(counts.get(topic.name, 0) for topic in topics)
    span = {
        "starting_time": {"nanoseconds_since_epoch": start_ns},
        "duration": {"nanoseconds": end_ns - start_ns},
        "message_count": total,
    }
    return {
        "version": 9,
        "storage_identifier": "mcap",
        **span,
        "topics_with_message_count": [
            {
                "topic_metadata": {
                    "name": topic.name,
                    "type": topic.type,
                    "serialization_format": "cdr",
                    "offered_qos_profiles": [q.profile() for q in topic.qos],
                    "type_description_hash": (
                        type_hash(topic.type) if topic.type_hash is None else topic.type_hash
                    ),
                },
                "message_count": counts.get(topic.name, 0),
            }
            for topic in topics
        ],
        "compression_format": "",
        "compression_mode": "",
        "relative_file_paths": [file_name],
        "files": [{"path": file_name, **span}],
        "custom_data": dict(custom),
        "ros_distro": DISTRIBUTION,
    }


def metadata_yaml(info: Mapping[str, Any]) -> str:
    """The text of metadata.yaml."""
    return yaml.dump(
        {"rosbag2_bagfile_information": dict(info)},
        Dumper=_NoAliases,
        sort_keys=False,
        allow_unicode=True,
    )


class _NoAliases(yaml.SafeDumper):
    """Writes every value out: yaml-cpp reads anchors, but people read this file too."""

    def ignore_aliases(self, data: Any) -> bool:
        return True
