"""Episodes to a LeRobotDataset v3, which LeRobot opens, written without LeRobot.

What LeRobot's format cannot hold is not lost: see ``lerobot_layout``. Every LeRobot episode is a
run of steps with an executed action and without a missing tick, see ``source``.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.replay.export import images as image_files
from vla_rl_nodes.replay.export import lerobot_layout as layout
from vla_rl_nodes.replay.export.lerobot_files import DataFiles, VideoFiles, new_path
from vla_rl_nodes.replay.export.lerobot_layout import Feature, Images
from vla_rl_nodes.replay.export.lerobot_tables import (
    episodes_table,
    json_bytes,
    stats_json,
    tasks_table,
)
from vla_rl_nodes.replay.export.source import Counts, Episodes, Run
from vla_rl_nodes.replay.export.statistics import Figures, ImageStatistics, VectorStatistics
from vla_rl_nodes.replay.export.video import CODEC, PIXELS
from vla_rl_nodes.replay.export.whole_folder import appearing


def write_lerobot(episodes: Episodes, target: Path, images: Images) -> Counts:
    """Writes the dataset's folder, whole or not at all.

    The same episodes give the same bytes with the same versions of pyarrow and Pillow; videos
    depend on the encoder.

    Args:
        episodes: that agree; see :func:`vla_rl_nodes.replay.export.source.open_episodes`.
        target: the dataset's folder, which must not exist.
        images: ``png`` keeps every bit; ``jpeg`` and ``video`` do not.

    Returns:
        What became of the steps.

    Raises:
        InputError: the folder exists or cannot be written, an episode is damaged, no step has an
            executed action, or ``video`` without PyAV.
    """
    with appearing(target) as folder:
        writer = _Writer(folder, episodes, images)
        for run in episodes.runs():
            writer.add(run)
        if not episodes.counts.exported:
            raise InputError(
                episodes.folders[0], "no step has an executed action", "export other episodes"
            )
        writer.finish()
    return episodes.counts


class _Writer:
    def __init__(self, folder: Path, episodes: Episodes, images: Images) -> None:
        self._folder = folder
        self._episodes = episodes
        self._images = images
        self._fps = episodes.first.policy_hz
        self._features = layout.features_of(episodes, images)
        self._columns = [f for f in self._features if f.dtype != "video"]
        own = [(name, pa.from_numpy_dtype(kind)) for name, kind in layout.FRAME_COLUMNS.items()]
        self._schema = pa.schema([(f.name, f.arrow) for f in self._columns] + own)
        seen = [f for f in self._features if f.source in episodes.first.streams]
        self._final_schema = pa.schema(
            [("episode_index", pa.int64()), ("stamp_ns", pa.int64())]
            + [(f.name, f.arrow) for f in seen]
        )
        self._final: dict[str, list[Any]] = {name: [] for name in self._final_schema.names}
        pictures = {f.name for f in self._columns if f.is_picture}
        self._data = DataFiles(folder, self._schema, pictures)
        self._videos = {
            f.name: VideoFiles(folder, self._fps, f) for f in self._features if f.dtype == "video"
        }
        self._statistics = {f.name: self._new_statistics(f, True) for f in self._counted()}
        self._tasks: list[str] = []
        self._rows: list[dict[str, Any]] = []
        self._runs: list[dict[str, Any]] = []
        self._frames = 0

    def _all(self) -> list[Feature]:
        return self._features + [
            Feature(name, "", kind, (1,)) for name, kind in layout.FRAME_COLUMNS.items()
        ]

    def _counted(self) -> list[Feature]:
        return [feature for feature in self._all() if not feature.is_text]

    def _new_statistics(self, feature: Feature, whole: bool) -> Any:
        if feature.is_picture:
            return ImageStatistics()
        # Quantiles are for what a policy is fed with and gives; the rest would only cost memory.
        return VectorStatistics(whole and feature.name.startswith(("action", "observation.")))

    def add(self, run: Run) -> None:
        """One LeRobot episode."""
        number, length = len(self._rows), run.length
        if run.header.task not in self._tasks:
            self._tasks.append(run.header.task)
        row: dict[str, Any] = {
            "episode_index": number,
            "tasks": [run.header.task],
            "length": length,
            "dataset_from_index": self._frames,
            "dataset_to_index": self._frames + length,
        }
        frame = np.arange(length, dtype=np.int64)
        values: dict[str, NDArray[Any]] = {
            "timestamp": (frame / self._fps).astype(np.float32),
            "frame_index": frame,
            "episode_index": np.full(length, number, dtype=np.int64),
            "index": frame + self._frames,
            "task_index": np.full(length, self._tasks.index(run.header.task), dtype=np.int64),
        }
        columns: dict[str, Any] = {name: pa.array(value) for name, value in values.items()}
        figures: dict[str, Figures | None] = {}
        for feature in self._all():
            if feature.is_picture:
                pixels = run.observations[feature.source]
                figures[feature.name] = self._count_pixels(feature, pixels[:-1])
                self._final[feature.name].append(self._encoded(pixels[-1]))
                if feature.dtype == "video":
                    row |= self._videos[feature.name].add(pixels[:-1])
                else:
                    files = [self._encoded(image) for image in pixels[:-1]]
                    columns[feature.name] = layout.pictures(files)
                continue
            if feature.is_text:
                columns[feature.name] = pa.array(run.critiques, pa.string())
                continue
            rows = values.get(feature.name)
            if rows is None:
                rows = self._step_rows(run, feature)
                columns[feature.name] = feature.column(rows)
            figures[feature.name] = self._count(feature, rows)
        self._final["episode_index"].append(number)
        self._final["stamp_ns"].append(run.end_stamp_ns)
        row |= self._data.add({name: columns[name] for name in self._schema.names})
        self._rows.append({**row, "stats": figures})
        self._runs.append(self._origin(run, number))
        self._frames += length

    def _encoded(self, image: NDArray[np.uint8]) -> bytes:
        # A video's last observation is kept outside of it, without loss.
        return image_files.encode(image, "jpeg" if self._images == "jpeg" else "png")

    def _step_rows(self, run: Run, feature: Feature) -> NDArray[Any]:
        if feature.name == layout.DONE:
            return np.asarray(run.steps["terminated"] | run.steps["truncated"])
        if feature.source in run.observations:
            rows = run.observations[feature.source]
            self._final[feature.name].append(rows[-1])
            return rows[:-1]
        return run.steps[feature.source]

    def _count(self, feature: Feature, rows: NDArray[Any]) -> Figures | None:
        self._statistics[feature.name].add(rows)
        own = self._new_statistics(feature, False)
        own.add(rows)
        found: Figures | None = own.figures()
        return found

    def _count_pixels(self, feature: Feature, pixels: NDArray[np.uint8]) -> Figures | None:
        counts = image_files.histogram(pixels)
        own = self._new_statistics(feature, False)
        for statistics in (own, self._statistics[feature.name]):
            statistics.add(len(pixels), counts)
        found: Figures | None = own.figures()
        return found

    def _origin(self, run: Run, number: int) -> dict[str, Any]:
        header = run.header
        return {
            "episode_index": number,
            "run": run.number,
            "first_step": run.first_step,
            "is_whole": run.is_whole,
            **header.model_dump(
                mode="json",
                include={
                    "episode_id", "steps", "outcome", "reason", "seed", "task", "goal", "robot",
                    "bag_sha256", "content_sha256", "metadata",
                },
            ),
        }  # fmt: skip

    def finish(self) -> None:
        """Everything that is about the dataset as a whole."""
        self._data.close()
        for video in self._videos.values():
            video.close()
        features = {f.name: f.described() for f in self._all()}
        for feature in self._features:
            if feature.dtype == "video":
                features[feature.name]["info"] = _video_info(feature, self._fps)
        info = {
            "codebase_version": layout.VERSION,
            "robot_type": self._episodes.first.robot,
            "total_episodes": len(self._rows),
            "total_frames": self._frames,
            "total_tasks": len(self._tasks),
            "chunks_size": layout.CHUNKS_SIZE,
            "data_files_size_in_mb": layout.DATA_FILE_MB,
            "video_files_size_in_mb": layout.VIDEO_FILE_MB,
            "fps": self._fps,
            "splits": {"train": f"0:{len(self._rows)}"},
            "data_path": layout.DATA_TEMPLATE,
            "video_path": layout.VIDEO_TEMPLATE if self._videos else None,
            "features": features,
        }
        whole = {name: s.figures() for name, s in self._statistics.items()}
        new_path(self._folder, layout.INFO).write_bytes(json_bytes(info))
        new_path(self._folder, layout.STATS).write_bytes(json_bytes(stats_json(whole)))
        pq.write_table(
            tasks_table(self._tasks),
            new_path(self._folder, layout.TASKS),
            write_page_checksum=True,
        )
        table = episodes_table(self._rows, self._counted(), list(self._videos))
        pq.write_table(table, new_path(self._folder, layout.EPISODES), write_page_checksum=True)
        self._write_own()

    def _write_own(self) -> None:
        columns = []
        by_name = {f.name: f for f in self._features}
        for name in self._final_schema.names:
            values = self._final[name]
            feature = by_name.get(name)
            if feature is None:
                columns.append(pa.array(values, pa.int64()))
            elif feature.is_picture:
                columns.append(layout.pictures(values))
            else:
                columns.append(feature.column(np.stack(values)))
        table = pa.table(columns, schema=self._final_schema)
        path = new_path(self._folder, layout.FINAL)
        pq.write_table(table, path, use_dictionary=False, write_page_checksum=True)
        header, source = self._episodes.first, self._episodes
        export = {
            "export": 1,
            "contract": header.contract,
            "contract_sha256": header.contract_sha256,
            "images": self._images,
            "units": {f.name: f.units for f in self._features if f.units is not None},
            "policy_versions": source.policy_versions,
            "reward_sources": source.reward_sources,
            "left_out": source.left_out,
            "counts": asdict(source.counts),
            "episodes": self._runs,
        }
        new_path(self._folder, layout.EXPORT).write_bytes(json_bytes(export))


def _video_info(feature: Feature, fps: int) -> dict[str, Any]:
    height, width, channels = feature.shape
    return {
        "video.height": height, "video.width": width, "video.channels": channels,
        "video.codec": CODEC.removeprefix("libsvt"), "video.pix_fmt": PIXELS,
        "video.is_depth_map": False, "video.fps": fps, "has_audio": False,
    }  # fmt: skip
