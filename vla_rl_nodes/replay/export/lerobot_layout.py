"""Where things stand in a LeRobotDataset v3, and what this package's arrays are called there.

Documented by LeRobot: ``meta/info.json`` describes every feature (column) and where the files
are; ``data/`` holds Parquet files with one row a frame; ``meta/episodes/`` one row an episode.
Names that start with ``observation`` or ``action`` are what LeRobot feeds to a policy, so only
the contract's observation and the executed action have such names.
What judges said in words is the text ``complementary_info.critiques`` of a frame, as
``replay.critique`` writes it; nothing in a frame of which nobody spoke.

Beside it this package writes ``vla_rl/``, which LeRobot does not read: ``export.json`` says which
steps of which episode each LeRobot episode is, and ``final_observations.parquet`` holds the
observation behind each one's last action, for which a LeRobot dataset has no row.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.replay.export.source import Episodes

VERSION = "v3.0"
INFO = "meta/info.json"
STATS = "meta/stats.json"
TASKS = "meta/tasks.parquet"
EPISODES = "meta/episodes/chunk-000/file-000.parquet"
DATA_TEMPLATE = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
VIDEO_TEMPLATE = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"
CHUNKS_SIZE = 1000
DATA_FILE_MB = 100
VIDEO_FILE_MB = 200

EXPORT = "vla_rl/export.json"
FINAL = "vla_rl/final_observations.parquet"

ACTION = "action"
REWARD = "next.reward"
DONE = "next.done"
TERMINATED = "next.terminated"
TRUNCATED = "next.truncated"
INTERVENTION = "complementary_info.is_intervention"
CRITIQUES = "complementary_info.critiques"
_NAMED = {
    "action_executed": ACTION,
    "reward": REWARD,
    "terminated": TERMINATED,
    "truncated": TRUNCATED,
    "intervened": INTERVENTION,
}
FRAME_COLUMNS = {
    "timestamp": "float32",
    "frame_index": "int64",
    "episode_index": "int64",
    "index": "int64",
    "task_index": "int64",
}
Images = Literal["png", "jpeg", "video"]


def array_feature(name: str) -> str:
    """What the array of a step, such as ``stamp_ns``, is called as a feature."""
    return _NAMED.get(name, f"complementary_info.{name}")


def stream_feature(key: str, kind: str) -> str:
    """What an observation stream is called: ``image_wrist`` is ``observation.images.wrist``."""
    if kind == "image":
        return f"observation.images.{key.removeprefix('image_') or key}"
    return f"observation.{key}"


@dataclass(frozen=True)
class Feature:
    """One column, or one video.

    Attributes:
        name: in the dataset.
        source: the array or stream that it holds.
        dtype: NumPy's name, ``image``, ``video`` or ``string``.
        shape: of one frame; [1] is written as a plain number.
        names: of the components, None where they have none.
        units: of the components, None where they are not known.
    """

    name: str
    source: str
    dtype: str
    shape: tuple[int, ...]
    names: list[str] | None = None
    units: list[str] | None = None

    @property
    def is_picture(self) -> bool:
        """Whether it is an image or a video."""
        return self.dtype in ("image", "video")

    @property
    def is_text(self) -> bool:
        """Whether it is words."""
        return self.dtype == "string"

    def described(self) -> dict[str, Any]:
        """Its entry in info.json."""
        return {"dtype": self.dtype, "shape": list(self.shape), "names": self.names}

    @property
    def arrow(self) -> Any:
        """Its Arrow type as an image, as words or as numbers."""
        if self.is_picture:
            return pa.struct([("bytes", pa.binary()), ("path", pa.string())])
        if self.is_text:
            return pa.string()
        kind = pa.from_numpy_dtype(np.dtype(self.dtype))
        if self.shape == (1,):
            return kind
        if len(self.shape) == 1:
            return pa.list_(kind, self.shape[0])
        for _ in self.shape:  # LeRobot reads arrays of more dimensions as lists of lists
            kind = pa.list_(kind)
        return kind

    def column(self, rows: NDArray[Any]) -> Any:
        """Rows [n, ...] as an Arrow array; not for pictures and words."""
        values = pa.array(np.ascontiguousarray(rows).reshape(-1))
        if self.shape == (1,):
            return values
        if len(self.shape) == 1:
            return pa.FixedSizeListArray.from_arrays(values, self.shape[0])
        for depth in range(len(self.shape), 0, -1):
            size = self.shape[depth - 1]
            count = len(rows) * math.prod(self.shape[: depth - 1])
            offsets = np.arange(count + 1, dtype=np.int32) * np.int32(size)
            values = pa.ListArray.from_arrays(pa.array(offsets), values)
        return values


def pictures(files: list[bytes]) -> Any:
    """Image files as an Arrow array."""
    names = pa.nulls(len(files), pa.string())
    return pa.StructArray.from_arrays([pa.array(files, pa.binary()), names], ["bytes", "path"])


def features_of(episodes: Episodes, images: Images) -> list[Feature]:
    """The features of an export, in the order of its columns, without LeRobot's own five.

    Raises:
        InputError: two streams get one name, or a stream has that of another feature.
    """
    header = episodes.first
    dtype = "video" if images == "video" else "image"
    found = []
    for key, (kind, shape) in header.streams.items():
        if kind == "|u1":
            axes = ["height", "width", "channels"]
            name = stream_feature(key, "image")
            found.append(Feature(name, key, dtype, tuple(shape), axes))
        else:
            name = stream_feature(key, "vector")
            found.append(
                Feature(
                    name, key, "float32", tuple(shape), episodes.names(key), episodes.units(key)
                )
            )
    found.append(
        Feature(
            ACTION,
            "action_executed",
            "float32",
            (len(header.action_names),),
            list(header.action_names),
            episodes.action_units(),
        )
    )
    for name, (numpy_type, size) in episodes.kinds.items():
        if name == "action_executed":
            continue
        of = {
            "privileged": header.privileged_names,
            "sample_stamp_ns": sorted(header.streams),
        }
        names = header.action_names if name.startswith("action_") else of.get(name)
        found.append(Feature(array_feature(name), name, numpy_type.name, size or (1,), names))
    found.append(Feature(DONE, "", "bool", (1,)))
    if episodes.has_critiques:
        found.append(Feature(CRITIQUES, "", "string", (1,)))
    twice = [f.name for f in found if [g.name for g in found].count(f.name) > 1]
    if twice:
        raise InputError(
            f"contract {header.contract}",
            f"two of its streams would be the feature '{twice[0]}'",
            "rename one of the streams",
        )
    return found
