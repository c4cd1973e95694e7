"""Bags as `ros2 bag record` leaves them, made with rosbags' writer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from rosbags.interfaces import (
    Qos,
    QosDurability,
    QosHistory,
    QosLiveliness,
    QosReliability,
    QosTime,
)
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer

from .sensor_messages import STORE, Sent

FOREVER = QosTime(9223372036, 854775807)
QOS = Qos(
    QosHistory.KEEP_LAST, 10, QosReliability.RELIABLE, QosDurability.VOLATILE, FOREVER, FOREVER,
    QosLiveliness.AUTOMATIC, FOREVER, False,
)  # fmt: skip


def write_foreign(
    folder: Path,
    sent: list[Sent],
    storage: StoragePlugin = StoragePlugin.MCAP,
    mode: CompressionMode = CompressionMode.NONE,
    version: int = 9,
) -> Path:
    """A bag's folder; versions below 8 are the writer's version 8 without the newer keys."""
    writer = Writer(folder, version=9 if version == 9 else 8, storage_plugin=storage)
    writer.set_compression(mode, CompressionFormat.ZSTD)
    with writer:
        connections: dict[str, Any] = {}
        for s in sent:
            if s.topic not in connections:
                connections[s.topic] = writer.add_connection(
                    s.topic, s.type_name, typestore=STORE, offered_qos_profiles=[QOS]
                )
            writer.write(connections[s.topic], s.log_time_ns, s.cdr)
    change(folder, lambda info: older(info, version))
    return folder


def older(info: dict[str, Any], version: int) -> None:
    """Makes metadata of version 8 that of an older one."""
    info["version"] = version
    if version < 8:
        del info["ros_distro"]
    if version < 7:
        for topic in info["topics_with_message_count"]:
            del topic["topic_metadata"]["type_description_hash"]
    if version < 6:
        del info["custom_data"]


def metadata(folder: Path) -> dict[str, Any]:
    text = (folder / "metadata.yaml").read_text()
    info: dict[str, Any] = yaml.safe_load(text)["rosbag2_bagfile_information"]
    return info


def change(folder: Path, edit: Any) -> None:
    """Edits metadata.yaml in place."""
    info = metadata(folder)
    edit(info)
    text = yaml.safe_dump({"rosbag2_bagfile_information": info}, sort_keys=False)
    (folder / "metadata.yaml").write_text(text)


def join(folder: Path, parts: list[Path], sent: list[Sent]) -> Path:
    """One split bag from several bags of one file each."""
    folder.mkdir()
    infos = [metadata(part) for part in parts]
    names = []
    for number, (part, info) in enumerate(zip(parts, infos, strict=True)):
        (old,) = info["relative_file_paths"]
        name = f"{folder.name}_{number}{old.removeprefix(part.name)}"
        (part / old).rename(folder / name)
        names.append(name)
    info = infos[0]
    for topic in info["topics_with_message_count"]:
        name = topic["topic_metadata"]["name"]
        topic["message_count"] = sum(s.topic == name for s in sent)
    info["relative_file_paths"] = names
    info["message_count"] = len(sent)
    info["files"] = [{**info["files"][0], "path": name} for name in names]
    text = yaml.safe_dump({"rosbag2_bagfile_information": info}, sort_keys=False)
    (folder / "metadata.yaml").write_text(text)
    return folder
