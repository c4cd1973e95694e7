"""Labels that are found later, such as values and weights, in files beside an episode.

``<replay>/labels/<episode id>/<name>/000001.npy`` holds the values of the first version and
``000001.json`` says whose and what they are. A converted episode is never edited, and neither is
a label: who knows better writes the next version. Nothing chooses a version by itself: readers
name the one that they mean, :func:`newest` tells which is the last.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from vla_rl_nodes.bags.durable import sync_folder, write_durably
from vla_rl_nodes.bags.manifest import EpisodeId, Sha256
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.replay.episode import EpisodeHeader, npy_bytes
from vla_rl_nodes.replay.npy import parse_npy, read_file

FOLDER = "labels"
Kind = Literal["value", "advantage", "progress", "preference", "weight", "success"]

_NAME = r"^[a-z][a-z0-9_]{0,63}$"
_FILE = re.compile(r"^([0-9]{6})\.(npy|json)$")
_MOST_VERSIONS = 999_999
_LARGEST_HEADER = 1 << 20
_REMEDY = "remove that version and have its producer write the next one"
_Text = Annotated[str, Field(min_length=1, max_length=200)]


class _Meaning(NamedTuple):
    """Rows (1 behind the last step where there is one for each observation), type and range."""

    extra: int
    dtype: str
    low: float = -np.inf
    high: float = np.inf
    gaps: bool = True  # whether NaN says that there is no label


# value: expected discounted return from each observation on.
# advantage: of the executed action of each step.
# progress: share of the task that is done at each observation.
# preference: probability that what was done in a step is preferred to what else could be done.
# weight: of each step when steps are drawn for training; 0 leaves it out.
# success: whether success counts as reached in the step.
_MEANINGS: Mapping[str, _Meaning] = {
    "value": _Meaning(1, "<f4"),
    "advantage": _Meaning(0, "<f4"),
    "progress": _Meaning(1, "<f4", 0.0, 1.0),
    "preference": _Meaning(0, "<f4", 0.0, 1.0),
    "weight": _Meaning(0, "<f4", 0.0, gaps=False),
    "success": _Meaning(0, "|b1", gaps=False),
}


class LabelHeader(BaseModel):
    """What stands beside a label's values.

    Attributes:
        name: of the label, such as ``value_calql``.
        version: counted from 1.
        kind: what the values mean, and so their shape, type and range.
        episode_id: of the episode.
        content_sha256: of the episode: the very content that was labelled.
        sha256: of the .npy file.
        producer: who made it, such as ``vla-rl learner`` or an annotator's name.
        producer_version: of the program, the model or the guide for annotators.
        made_from: what it was made from, by name, such as a bundle's or another label's hash.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    label: Literal[1] = 1
    name: Annotated[str, Field(pattern=_NAME)]
    version: Annotated[int, Field(ge=1, le=_MOST_VERSIONS)]
    kind: Kind
    episode_id: EpisodeId
    content_sha256: Sha256
    sha256: Sha256
    producer: _Text
    producer_version: _Text
    made_from: dict[str, str]


@dataclass(frozen=True)
class Label:
    """A label's description and its values: [T], or [T+1] where each observation has one.

    They are float32, NaN where there is no label, and bool for ``success``.
    """

    header: LabelHeader
    values: NDArray[Any]


def write_label(
    replay: Path,
    episode: EpisodeHeader,
    name: str,
    kind: Kind,
    values: NDArray[Any],
    *,
    producer: str,
    producer_version: str,
    made_from: Mapping[str, str],
) -> int:
    """Writes the next version of a label, which is whole and on the disk or not there.

    Args:
        replay: the folder of replay folders.
        episode: whose steps are labelled.
        name: of the label: small letters, digits and underscores.
        kind: what the values mean.
        values: [T], or [T+1] for ``value`` and ``progress``.
        producer: who made them.
        producer_version: of the producer.
        made_from: what they were made from, by name.

    Returns:
        The version, counted from 1. Of two writers at once each gets its own.

    Raises:
        InputError: a bad name, values of another shape, type or range, or a disk that is full.
    """
    folder = _folder(replay, episode.episode_id, name)
    _check_values(folder, kind, values, episode.steps)
    data = npy_bytes(values)
    taken = [version for version, _ in _files(folder)]
    try:
        header = LabelHeader(
            name=name, version=max(taken, default=0) + 1, kind=kind,
            episode_id=episode.episode_id, content_sha256=episode.content_sha256,
            sha256=hashlib.sha256(data).hexdigest(), producer=producer,
            producer_version=producer_version, made_from=dict(made_from),
        )  # fmt: skip
    except ValidationError as error:
        raise InputError(folder, _first(error), "give another one") from error
    try:
        folder.mkdir(parents=True, exist_ok=True)
        header = _write_values(folder, header, data)
        text = json.dumps(header.model_dump(mode="json"), indent=2, sort_keys=True) + "\n"
        write_durably(_path(folder, header.version, "json"), text.encode())
        for parent in (folder.parent, folder.parent.parent, replay):
            sync_folder(parent)
    except OSError as error:
        reason = (error.strerror or "input/output error").lower()
        raise InputError(
            folder, f"cannot be written ({reason})", "free space or check the folder"
        ) from error
    return header.version


def _write_values(folder: Path, header: LabelHeader, data: bytes) -> LabelHeader:
    """Takes the next free version by making its file, which only one writer can."""
    while True:
        path = _path(folder, header.version, "npy")
        try:
            file = path.open("xb")
        except FileExistsError:
            header = header.model_copy(update={"version": header.version + 1})
            continue
        try:
            with file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        except OSError:
            with contextlib.suppress(OSError):
                path.unlink()
            raise
        return header


def names(replay: Path, episode: EpisodeHeader) -> list[str]:
    """The labels that an episode has, in the order of their names."""
    folder = replay / FOLDER / episode.episode_id
    found = sorted(p.name for p in folder.iterdir()) if folder.is_dir() else []
    return [
        name for name in found if re.fullmatch(_NAME, name) and versions(replay, episode, name)
    ]


def versions(replay: Path, episode: EpisodeHeader, name: str) -> list[int]:
    """The versions of a label, ascending; none where there is no such label.

    A version whose writer was killed has no description and is none; its number is not used again.

    Raises:
        InputError: a name that no label can have.
    """
    files = _files(_folder(replay, episode.episode_id, name))
    return sorted(version for version, suffix in files if suffix == "json")


def newest(replay: Path, episode: EpisodeHeader, name: str) -> int:
    """The last version of a label.

    Raises:
        InputError: the episode has no such label.
    """
    found = versions(replay, episode, name)
    if not found:
        held = ", ".join(names(replay, episode)) or "none"
        raise InputError(
            _folder(replay, episode.episode_id, name), "is no label", f"its episode has {held}"
        )
    return found[-1]


def load_label(replay: Path, episode: EpisodeHeader, name: str, version: int) -> Label:
    """One version of a label, checked: whole, of the right shape, and of exactly this content.

    Args:
        replay: the folder of replay folders.
        episode: whose label it must be.
        name: of the label.
        version: which one; see :func:`newest`.

    Raises:
        InputError: in one line, that it is missing, damaged, or another content's.
    """
    folder = _folder(replay, episode.episode_id, name)
    if not 1 <= version <= _MOST_VERSIONS:
        raise InputError(folder, f"has no version {version}", "give one counted from 1")
    path = _path(folder, version, "json")
    try:
        header = LabelHeader.model_validate_json(read_file(path, _LARGEST_HEADER, _REMEDY))
    except ValidationError as error:
        raise InputError(path, _first(error), _REMEDY) from error
    if (header.name, header.version, header.episode_id) != (name, version, episode.episode_id):
        raise InputError(
            path, f"is version {header.version} of {header.name} of {header.episode_id}", _REMEDY
        )
    if header.content_sha256 != episode.content_sha256:
        raise InputError(
            path,
            f"labels content {header.content_sha256[:12]}, the episode's is"
            f" {episode.content_sha256[:12]}",
            "have its producer label the episode as it is now",
        )
    path = _path(folder, version, "npy")
    data = read_file(path, 8 * (episode.steps + 1) + 1024, _REMEDY)
    if hashlib.sha256(data).hexdigest() != header.sha256:
        raise InputError(path, "is damaged: its SHA-256 is not that of its .json", _REMEDY)
    meaning = _MEANINGS[header.kind]
    shape = (episode.steps + meaning.extra,)
    values = parse_npy(data, meaning.dtype, shape, path, _REMEDY)
    _check_values(path, header.kind, values, episode.steps)
    return Label(header, values)


def _check_values(place: Path, kind: Kind, values: NDArray[Any], steps: int) -> None:
    meaning = _MEANINGS.get(kind)
    if meaning is None:
        known = ", ".join(_MEANINGS)
        raise InputError(place, f"'{kind}' is no kind of label", f"give one of {known}")
    wanted = (meaning.dtype, (steps + meaning.extra,))
    if (values.dtype.str, values.shape) != wanted:
        raise InputError(
            place,
            f"holds {values.dtype.str}{list(values.shape)}, not {wanted[0]}{list(wanted[1])}",
            f"give a {kind} for each {'observation' if meaning.extra else 'step'} of the episode",
        )
    if meaning.dtype == "|b1":
        return
    absent = np.isnan(values)
    if absent.any() and not meaning.gaps:
        raise InputError(place, f"holds a {kind} that is no number", "give one for each step")
    given = values[~absent]
    inside = np.isfinite(given) & (given >= meaning.low) & (given <= meaning.high)
    if not inside.all():
        raise InputError(
            place,
            f"holds the {kind} {given[~inside][0]:g}",
            f"give finite ones from {meaning.low:g} to {meaning.high:g}",
        )


def _folder(replay: Path, episode_id: str, name: str) -> Path:
    if not re.fullmatch(_NAME, name):
        raise InputError(
            f"label '{name[:80]}'",
            "cannot be a label's name",
            "use a-z, 0-9 and _, a letter first",
        )
    return replay / FOLDER / episode_id / name


def _path(folder: Path, version: int, suffix: str) -> Path:
    return folder / f"{version:06d}.{suffix}"


def _files(folder: Path) -> list[tuple[int, str]]:
    found = folder.iterdir() if folder.is_dir() else ()
    matches = [_FILE.fullmatch(path.name) for path in found]
    return [(int(match[1]), match[2]) for match in matches if match is not None]


def _first(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    key = ".".join(str(part) for part in first["loc"]) or "the file"
    return f"{key}: {first['msg'].lower()}"
