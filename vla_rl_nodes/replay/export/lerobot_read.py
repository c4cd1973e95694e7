"""The frames of a LeRobotDataset v3 from anywhere, checked as they are read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.replay.export import lerobot_layout as layout
from vla_rl_nodes.replay.export.lerobot_info import (
    Export,
    Info,
    fill,
    inside,
    read_export,
    read_info,
)
from vla_rl_nodes.replay.export.parquet import (
    open_parquet,
    read_numbers,
    read_pictures,
    read_texts,
)

_REMEDY = "download the dataset again"
_MOST_FILES = 1_000_000


@dataclass(frozen=True)
class Video:
    """Where an episode's frames are in a video: its path, and the first one's time, seconds."""

    path: Path
    start_s: float


@dataclass(frozen=True)
class Entry:
    """One episode: its frames are ``start`` to ``stop`` of the dataset, from ``offset`` on in
    the data file."""

    number: int
    start: int
    stop: int
    path: Path
    offset: int
    videos: dict[str, Video]

    @property
    def length(self) -> int:
        """Number of frames."""
        return self.stop - self.start


class LeRobotFolder:
    """A LeRobotDataset v3 on this machine.

    Args:
        folder: of the dataset.

    Raises:
        InputError: info.json, the tasks or the episodes are missing, damaged, too large, do not
            fit one another, or name files outside of the folder.

    Attributes:
        info: the dataset's description.
        export: what this package wrote beside it; None where another program made it.
        entries: the episodes.
    """

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise InputError(folder, "is no folder", "give the folder that holds meta/info.json")
        self.folder = folder
        self.info: Info = read_info(folder)
        self.export: Export | None = read_export(folder, self.info)
        self._tasks = self._read_tasks()
        self.entries: list[Entry] = self._read_entries()

    def _read_tasks(self) -> list[str]:
        with open_parquet(inside(self.folder, layout.TASKS)) as file:
            (numbers,) = read_numbers(file, ["task_index"], [()]).values()
            texts = [name for name in file.schema_arrow.names if name != "task_index"]
            if len(texts) != 1 or sorted(numbers.tolist()) != list(range(len(numbers))):
                raise InputError(file.place, "is no table of numbered tasks", _REMEDY)
            found: list[str] = []
            for chunk in file.batches(texts[0], (0, file.rows)):
                for text in chunk.to_pylist():
                    if not isinstance(text, str) or len(text) > 10_000:
                        raise InputError(file.place, "has a task that is no text", _REMEDY)
                    found.append(text)
        return [found[i] for i in np.argsort(numbers)]

    def _read_entries(self) -> list[Entry]:
        place = self.folder / "meta" / "episodes"
        names = sorted(
            path.relative_to(self.folder).as_posix() for path in place.glob("*/*.parquet")
        )
        if not names:
            raise InputError(place, "holds no Parquet file", _REMEDY)
        keys = ["episode_index", "length", "dataset_from_index", "dataset_to_index",
                "data/chunk_index", "data/file_index"]  # fmt: skip
        videos = [name for name, f in self.info.features.items() if f.dtype == "video"]
        for video in videos:
            keys += [
                f"videos/{video}/{part}"
                for part in ("chunk_index", "file_index", "from_timestamp")
            ]
        found: dict[str, list[NDArray[Any]]] = {key: [] for key in keys}
        for name in names[:_MOST_FILES]:
            with open_parquet(inside(self.folder, name)) as file:
                for key, value in read_numbers(file, keys, [()] * len(keys)).items():
                    found[key].append(value)
        columns = {key: np.concatenate(values) for key, values in found.items()}
        self._check(columns, place)
        starts: dict[tuple[int, int], int] = {}
        entries = []
        for row in range(self.info.total_episodes):
            at = {key: column[row].item() for key, column in columns.items()}
            where = (at["data/chunk_index"], at["data/file_index"])
            first = starts.setdefault(where, at["dataset_from_index"])
            entries.append(
                Entry(
                    number=row,
                    start=at["dataset_from_index"],
                    stop=at["dataset_to_index"],
                    path=self._file(self.info.data_path, where, {}),
                    offset=at["dataset_from_index"] - first,
                    videos={key: self._video(key, at) for key in videos},
                )
            )
        return entries

    def _check(self, columns: dict[str, NDArray[Any]], place: Path) -> None:
        info = self.info
        rows = len(columns["episode_index"])
        if rows != info.total_episodes:
            raise InputError(
                place, f"has {rows} episodes, info.json says {info.total_episodes}", _REMEDY
            )
        start, stop = columns["dataset_from_index"], columns["dataset_to_index"]
        whole = (
            np.array_equal(columns["episode_index"], np.arange(rows))
            and np.array_equal(start, np.concatenate(([0], stop[:-1])))
            and np.array_equal(stop - start, columns["length"])
            and (columns["length"] > 0).all()
            and stop[-1] == info.total_frames
        )
        if not whole:
            raise InputError(place, "has episodes that overlap or leave a hole", _REMEDY)
        for key, column in columns.items():
            if (
                key.endswith(("chunk_index", "file_index"))
                and not ((column >= 0) & (column < _MOST_FILES)).all()
            ):
                raise InputError(place, f"{key} is out of range", _REMEDY)
            if key.endswith("timestamp") and not (np.isfinite(column) & (column >= 0)).all():
                raise InputError(place, f"{key} is no time", _REMEDY)

    def _file(self, template: str, where: tuple[int, int], more: dict[str, str]) -> Path:
        values: dict[str, int | str] = {"chunk_index": where[0], "file_index": where[1], **more}
        return inside(self.folder, fill(template, self.folder / layout.INFO, values))

    def _video(self, key: str, at: dict[str, Any]) -> Video:
        if self.info.video_path is None:
            raise InputError(self.folder / layout.INFO, "has videos but no video_path", _REMEDY)
        where = (at[f"videos/{key}/chunk_index"], at[f"videos/{key}/file_index"])
        path = self._file(self.info.video_path, where, {"video_key": key})
        return Video(path, float(at[f"videos/{key}/from_timestamp"]))

    def numbers(self, entry: Entry, names: Sequence[str]) -> dict[str, NDArray[Any]]:
        """Features of an episode's frames that are numbers, [n, ...] each.

        Raises:
            InputError: the file is damaged, or its rows are not those of the episode.
        """
        shapes = []
        for name in names:
            info = self.info.features.get(name)
            single = info is None or info.shape == [1]  # the frame's own numbers need no entry
            shapes.append(() if info is None or single else tuple(info.shape))
        own = ["episode_index", "frame_index", "index"]
        with open_parquet(entry.path) as file:
            rows = (entry.offset, entry.offset + entry.length)
            found = read_numbers(file, [*own, *names], [(), (), (), *shapes], rows)
        counted = np.arange(entry.length)
        if not (
            (found["episode_index"] == entry.number).all()
            and np.array_equal(found["frame_index"], counted)
            and np.array_equal(found["index"], counted + entry.start)
        ):
            raise InputError(
                entry.path, f"does not hold episode {entry.number} where it should", _REMEDY
            )
        return {name: found[name] for name in names}

    def task(self, entry: Entry) -> str:
        """What is to be done in an episode.

        Raises:
            InputError: its frames have no task, or several.
        """
        numbers = self.numbers(entry, ["task_index"])["task_index"]
        if (numbers != numbers[0]).any() or not 0 <= numbers[0] < len(self._tasks):
            raise InputError(
                entry.path, f"episode {entry.number} has not one task of the table", _REMEDY
            )
        return self._tasks[int(numbers[0])]

    def pictures(self, entry: Entry, name: str) -> list[bytes]:
        """The image files of an episode's frames.

        Raises:
            InputError: the file is damaged, or its images are not in it.
        """
        with open_parquet(entry.path) as file:
            return read_pictures(file, name, (entry.offset, entry.offset + entry.length))

    def texts(self, entry: Entry, name: str) -> list[str]:
        """A feature of an episode's frames that is text.

        Raises:
            InputError: the file is damaged, or the feature is not of text.
        """
        with open_parquet(entry.path) as file:
            return read_texts(file, name, (entry.offset, entry.offset + entry.length))

    def final(self, names: Sequence[str]) -> dict[str, Any] | None:
        """The observations behind the episodes' last actions; None where they were not kept.

        Args:
            names: features of the observation.

        Returns:
            ``stamp_ns`` [episodes], numbers [episodes, ...], and of images lists of files.

        Raises:
            InputError: the table is damaged or has other episodes.
        """
        if self.export is None or not (self.folder / layout.FINAL).exists():
            return None
        pictures = [n for n in names if self.info.features[n].dtype in ("image", "video")]
        numbers = [n for n in names if n not in pictures]
        shapes = [tuple(self.info.features[n].shape) for n in numbers]
        path = inside(self.folder, layout.FINAL)
        rows = (0, self.info.total_episodes)
        with open_parquet(path) as file:
            own = ["episode_index", "stamp_ns"]
            found: dict[str, Any] = read_numbers(
                file, [*own, *numbers], [(), (), *(() if s == (1,) else s for s in shapes)], rows
            )
            found |= {name: read_pictures(file, name, rows) for name in pictures}
        if not np.array_equal(found["episode_index"], np.arange(self.info.total_episodes)):
            raise InputError(path, "has other episodes than the dataset", _REMEDY)
        return found
