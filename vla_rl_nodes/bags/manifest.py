"""manifest.json: written last, it says that an episode's bag is whole, and what is in it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from vla_rl_nodes.bags.durable import write_durably
from vla_rl_nodes.errors import InputError

MANIFEST = "manifest.json"
Outcome = Literal["success", "failure", "timeout", "aborted"]
Count = Annotated[int, Field(ge=0)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
EpisodeId = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")]
FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,160}\.mcap$")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class TopicEntry(_Strict):
    """Type and number of messages of one topic."""

    type: str
    messages: Count


class Manifest(_Strict):
    """A closed bag. Times are log times in nanoseconds, 0 in a bag without messages."""

    manifest: Literal[1] = 1
    episode_id: EpisodeId
    outcome: Outcome
    file: FileName
    size: Count
    sha256: Sha256
    messages: Count
    start_ns: Count
    end_ns: Count
    topics: dict[str, TopicEntry]
    dropped: dict[str, Count]
    metadata: dict[str, str]


def load_manifest(folder: Path) -> Manifest | None:
    """The manifest of a bag's folder; None when there is none, as in an unclosed bag.

    Raises:
        InputError: the manifest cannot be read or is not valid.
    """
    path = folder / MANIFEST
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        reason = (error.strerror or "unreadable").lower()
        raise InputError(path, f"cannot be read ({reason})", "check the path") from error
    try:
        return Manifest.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"]) or "the file"
        raise InputError(
            path, f"{key}: {first['msg'].lower()}", "fetch the bag again from its robot"
        ) from error


def save_manifest(folder: Path, manifest: Manifest) -> None:
    """Writes the manifest so that it is either whole and on the disk, or not there."""
    text = json.dumps(manifest.model_dump(mode="json"), indent=2, sort_keys=True) + "\n"
    write_durably(folder / MANIFEST, text.encode())
