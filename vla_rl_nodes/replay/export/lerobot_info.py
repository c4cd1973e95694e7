"""meta/info.json of a LeRobotDataset from anywhere, and paths that stay in its folder."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from vla_rl_nodes.bags.manifest import Count, EpisodeId, Outcome, Sha256
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.replay.export.lerobot_layout import EXPORT, INFO

MOST_EPISODES = 1_000_000
MOST_FRAMES = 1 << 31
LARGEST_JSON = 1 << 28
_SAFE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_PLACE = re.compile(r"\{([a-z_]+)(?::0([1-9])d)?\}")
_REMEDY = "download the dataset again"
Text = Annotated[str, Field(max_length=10_000)]
Model = TypeVar("Model", bound=BaseModel)


class _Open(BaseModel):
    """LeRobot's own files may hold more than is needed here."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)


class FeatureInfo(_Open):
    """One feature: ``names`` is a list, or the one list in a mapping, or missing."""

    dtype: Annotated[str, Field(max_length=32)]
    shape: Annotated[list[Annotated[int, Field(ge=1, le=1 << 16)]], Field(max_length=5)]
    names: Any = None

    @property
    def components(self) -> list[str] | None:
        """Names of a vector's components, None where there are none."""
        names = self.names
        if isinstance(names, Mapping) and len(names) == 1:
            (names,) = names.values()
        if isinstance(names, list) and all(isinstance(name, str) for name in names):
            return list(names)
        return None


class Info(_Open):
    """What an import needs of info.json."""

    codebase_version: str
    robot_type: Annotated[str, Field(max_length=200)] | None = None
    total_episodes: Annotated[int, Field(ge=1, le=MOST_EPISODES)]
    total_frames: Annotated[int, Field(ge=1, le=MOST_FRAMES)]
    fps: (
        Annotated[int, Field(ge=1, le=10_000)]
        | Annotated[float, Field(ge=1, le=10_000, allow_inf_nan=False)]
    )
    data_path: Annotated[str, Field(max_length=500)]
    video_path: Annotated[str, Field(max_length=500)] | None = None
    features: Annotated[dict[str, FeatureInfo], Field(max_length=1000)]


class Origin(_Open):
    """Which steps of which episode a LeRobot episode of this package's export is."""

    episode_id: EpisodeId
    first_step: Count
    steps: Annotated[int, Field(ge=1)]
    outcome: Outcome
    reason: Text
    seed: int | None
    goal: Text
    robot: Text
    bag_sha256: Sha256 | None


class Export(_Open):
    """vla_rl/export.json."""

    contract_sha256: Sha256
    units: dict[str, list[str]]
    policy_versions: list[Text]
    reward_sources: list[Text]
    episodes: Annotated[list[Origin], Field(max_length=MOST_EPISODES)]


def read_info(folder: Path) -> Info:
    """The dataset's description.

    Raises:
        InputError: missing, too large, no JSON, of another version, or a value is out of range.
    """
    path = inside(folder, INFO)
    info = _model(path, Info)
    if not re.fullmatch(r"v3\.\d{1,3}", info.codebase_version):
        raise InputError(
            path,
            f"is a LeRobotDataset of version '{info.codebase_version[:20]}', not v3",
            "convert it with LeRobot's own converter",
        )
    wrong = next((name for name in info.features if not _SAFE.fullmatch(name)), None)
    if wrong is not None or any(len(name) > 200 for name in info.features):
        raise InputError(path, f"has a feature '{(wrong or '')[:40]}'", _REMEDY)
    return info


def read_export(folder: Path, info: Info) -> Export | None:
    """What this package wrote beside the dataset; None where another program made it.

    Raises:
        InputError: it is damaged.
    """
    if not (folder / EXPORT).exists():
        return None
    path = inside(folder, EXPORT)
    export = _model(path, Export)
    if len(export.episodes) != info.total_episodes:
        raise InputError(
            path, f"has {len(export.episodes)} episodes, not {info.total_episodes}", _REMEDY
        )
    return export


def _model(path: Path, model: type[Model]) -> Model:
    text = path.read_bytes() if path.stat().st_size <= LARGEST_JSON else None
    if text is None:
        raise InputError(path, "is larger than 256 MiB", _REMEDY)
    try:
        # Plain JSON first: it accepts NaN, which other programs write.
        return model.model_validate(json.loads(text))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part)[:60] for part in first["loc"][:6]) or "the file"
        raise InputError(path, f"{key}: {first['msg'].lower()}", _REMEDY) from error
    except (ValueError, RecursionError) as error:
        raise InputError(path, "is no JSON file", _REMEDY) from error


def fill(template: str, place: Path, values: Mapping[str, int | str]) -> str:
    """A path template of info.json with its numbers and its video's name filled in.

    Only ``{name}`` and ``{name:03d}`` are understood, so that a template can reach nothing else.

    Raises:
        InputError: another placeholder.
    """

    def value(match: re.Match[str]) -> str:
        found = values.get(match[1])
        if found is None or (match[2] and not isinstance(found, int)):
            raise InputError(place, f"path template has '{match[0]}'", _REMEDY)
        return f"{found:0{match[2]}d}" if match[2] else str(found)

    text = _PLACE.sub(value, template)
    if "{" in text or "}" in text:
        raise InputError(place, f"path template '{template[:60]}' is not understood", _REMEDY)
    return text


def inside(folder: Path, name: str) -> Path:
    """The path of a plain file in a dataset's folder.

    Raises:
        InputError: the name leads out of the folder, also by a link, or is no plain file.
    """
    parts = PurePosixPath(name)
    shown = name if len(name) <= 100 else name[:97] + "..."
    if parts.is_absolute() or ".." in parts.parts or "\\" in name or "\0" in name or not name:
        raise InputError(folder, f"path {shown!r} leads out of the dataset", "do not trust it")
    path = folder / parts
    try:
        whole = path.resolve(strict=True)
        if not whole.is_relative_to(folder.resolve()):
            raise InputError(
                path, "is a link that leads out of the dataset", "copy the file into the folder"
            )
        if not whole.is_file():
            raise InputError(path, "is no file", _REMEDY)
    except (OSError, RuntimeError) as error:
        reason = (getattr(error, "strerror", None) or "unreadable").lower()
        raise InputError(path, f"cannot be read ({reason})", _REMEDY) from error
    return path
