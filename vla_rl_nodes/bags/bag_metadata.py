"""metadata.yaml of a bag's folder, versions 5 to 9: which files, in which storage, how packed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from vla_rl_nodes.bags.stream import opened
from vla_rl_nodes.contract.load import LARGEST_FILE, read_yaml
from vla_rl_nodes.errors import InputError

METADATA = "metadata.yaml"
_REMEDY = "run `ros2 bag reindex` on the folder"
_DEEPEST = 100
_OPENING, _CLOSING = [ord("["), ord("{")], [ord("]"), ord("}")]
_Count = Annotated[int, Field(ge=0)]


class _Read(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)


class _TopicMetadata(_Read):
    name: str
    type: str
    serialization_format: str
    # One YAML text up to version 8, a list from version 9.
    offered_qos_profiles: str | list[Any] = ""


class _Topic(_Read):
    topic_metadata: _TopicMetadata
    message_count: _Count


class BagMetadata(_Read):
    """The part of ``rosbag2_bagfile_information`` that a reader needs.

    Attributes:
        version: from 5 (Galactic, Humble) to 9 (Jazzy and later).
        storage_identifier: what kind of files.
        relative_file_paths: in the order in which they were recorded; names in the folder.
        message_count: of the whole bag.
        topics_with_message_count: messages of each topic; absent in a list cut by hand.
        compression_mode: ``file`` where each file, ``message`` where each message is a zstd frame.
    """

    version: Annotated[int, Field(ge=5, le=9)]
    storage_identifier: Literal["mcap", "sqlite3"]
    relative_file_paths: Annotated[list[str], Field(min_length=1)]
    message_count: _Count | None = None
    topics_with_message_count: list[_Topic] = []
    compression_format: str = ""
    compression_mode: str = ""

    @property
    def messages_packed(self) -> bool:
        """Whether every message is compressed on its own."""
        return self.compression_mode.lower() == "message"

    @property
    def counts(self) -> dict[str, int]:
        """Messages of each topic that has some."""
        found: dict[str, int] = {}
        for topic in self.topics_with_message_count:
            name = topic.topic_metadata.name
            if topic.message_count:
                found[name] = found.get(name, 0) + topic.message_count
        return found


def load_bag_metadata(folder: Path) -> BagMetadata | None:
    """The metadata of a bag's folder; None where there is none, as after a crash.

    Raises:
        InputError: unreadable, of another version, storage or compression, or naming files that
            are not plain names in the folder, twice there, or missing.
    """
    path = folder / METADATA
    if not path.is_file():
        return None
    _check_depth(path)
    found = read_yaml(path).get("rosbag2_bagfile_information")
    if not isinstance(found, dict):
        raise InputError(path, "is no bag's metadata", _REMEDY)
    version, storage = found.get("version"), found.get("storage_identifier")
    if isinstance(version, int) and not 5 <= version <= 9:
        raise InputError(path, f"is version {version}, not 5 to 9", "convert the bag to mcap")
    if isinstance(storage, str) and storage not in ("mcap", "sqlite3"):
        raise InputError(
            path, f"is a bag in {storage[:40]}", "convert it with `ros2 bag convert` to mcap"
        )
    try:
        metadata = BagMetadata.model_validate(found)
    except (ValidationError, RecursionError) as error:
        raise InputError(path, _first_problem(error), _REMEDY) from error
    mode, packing = metadata.compression_mode.lower(), metadata.compression_format.lower()
    if mode not in ("", "none", "file", "message") or (
        mode in ("file", "message") and packing != "zstd"
    ):
        raise InputError(
            path, f"is compressed as '{mode[:20]}' with '{packing[:20]}'",
            "convert it with `ros2 bag convert` to zstd or to no compression",
        )  # fmt: skip
    _check_names(folder, path, metadata.relative_file_paths)
    return metadata


def _check_depth(path: Path) -> None:
    """Refuses brackets in brackets, which take a YAML reader the square of their depth."""
    with opened(path) as file:
        data = np.frombuffer(file.read(LARGEST_FILE), dtype=np.uint8)
    steps = np.isin(data, _OPENING).astype(np.int64) - np.isin(data, _CLOSING)
    if len(steps) and int(np.cumsum(steps).max()) > _DEEPEST:
        raise InputError(path, "is nested too deeply", _REMEDY)


def _check_names(folder: Path, path: Path, names: list[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if not name.isprintable() or Path(name).name != name or "\\" in name or name == "..":
            raise InputError(
                path, f"lists {name[:80]!r}, which is no name in the folder",
                "list the files that lie beside metadata.yaml",
            )  # fmt: skip
        if name in seen:
            raise InputError(path, f"lists {name[:80]} twice", _REMEDY)
        seen.add(name)
        if not (folder / name).is_file():
            raise InputError(
                folder / name, "is listed in metadata.yaml but missing", "fetch the whole bag"
            )


def _first_problem(error: ValidationError | RecursionError) -> str:
    if isinstance(error, RecursionError):
        return "is nested too deeply"
    first = error.errors(include_url=False, include_input=False)[0]
    key = ".".join(str(part) for part in first["loc"])
    if first["loc"][:1] == ("relative_file_paths",):
        return "lists no files"
    return f"{key}: {first['msg'].lower()}"
