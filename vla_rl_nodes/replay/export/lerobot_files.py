"""The large files of a LeRobotDataset v3: one is filled up to a size, then the next begins."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from vla_rl_nodes.replay.export import lerobot_layout as layout
from vla_rl_nodes.replay.export.lerobot_layout import Feature
from vla_rl_nodes.replay.export.video import VideoFile

_MB = 1 << 20


def place_of(file: int) -> tuple[int, int]:
    """Index of the chunk of files that a file is in, and its index there."""
    return divmod(file, layout.CHUNKS_SIZE)


def new_path(folder: Path, name: str) -> Path:
    """The path of a new file, whose folder is made."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


class DataFiles:
    """Parquet files with one row a frame and one group of rows an episode.

    Args:
        folder: of the dataset.
        schema: of the rows.
        pictures: names of the columns of images, of which compression would gain nothing.
    """

    def __init__(self, folder: Path, schema: Any, pictures: set[str]) -> None:
        self._folder = folder
        self._schema = schema
        self._compression = {
            name: "NONE" if name.removesuffix(".bytes") in pictures else "SNAPPY"
            for name in _leaves(schema)
        }
        self._file = -1
        self._sink: Any = None
        self._parquet: Any = None

    def add(self, columns: dict[str, Any]) -> dict[str, Any]:
        """Appends one episode, which is never spread over two files; says where it is."""
        if self._parquet is None or self._sink.tell() >= layout.DATA_FILE_MB * _MB:
            self.close()
            self._file += 1
            chunk, file = place_of(self._file)
            name = layout.DATA_TEMPLATE.format(chunk_index=chunk, file_index=file)
            self._sink = pa.OSFile(str(new_path(self._folder, name)), "wb")
            self._parquet = pq.ParquetWriter(
                self._sink, self._schema, use_dictionary=False, write_statistics=False,
                write_page_checksum=True, compression=self._compression,
            )  # fmt: skip
        self._parquet.write_table(pa.table(columns, schema=self._schema))
        chunk, file = place_of(self._file)
        return {"data/chunk_index": chunk, "data/file_index": file}

    def close(self) -> None:
        """Completes the last file."""
        if self._parquet is not None:
            self._parquet.close()
            self._sink.close()


class VideoFiles:
    """Videos of one camera with the frames of episode after episode.

    Args:
        folder: of the dataset.
        fps: frames a second.
        feature: the camera's.
    """

    def __init__(self, folder: Path, fps: int, feature: Feature) -> None:
        self._folder = folder
        self._fps = fps
        self._feature = feature
        self._file = -1
        self._video: VideoFile | None = None

    def add(self, pixels: NDArray[np.uint8]) -> dict[str, Any]:
        """Appends one episode [n, height, width, 3]; says where it is."""
        key = self._feature.name
        video = self._video
        if video is None or video.path.stat().st_size >= layout.VIDEO_FILE_MB * _MB:
            self.close()
            self._file += 1
            chunk, file = place_of(self._file)
            name = layout.VIDEO_TEMPLATE.format(video_key=key, chunk_index=chunk, file_index=file)
            height, width, _ = self._feature.shape
            video = VideoFile(new_path(self._folder, name), self._fps, height, width)
            self._video = video
        start = video.frames
        video.add(pixels)
        chunk, file = place_of(self._file)
        return {
            f"videos/{key}/chunk_index": chunk,
            f"videos/{key}/file_index": file,
            f"videos/{key}/from_timestamp": start / self._fps,
            f"videos/{key}/to_timestamp": video.frames / self._fps,
        }

    def close(self) -> None:
        """Completes the last file."""
        if self._video is not None:
            self._video.close()


def _leaves(schema: Any) -> list[str]:
    """The columns as Parquet counts them."""
    sink = pa.BufferOutputStream()
    pq.write_table(schema.empty_table(), sink)
    found = pq.ParquetFile(pa.BufferReader(sink.getvalue())).schema
    return [found.column(index).path for index in range(len(found))]
