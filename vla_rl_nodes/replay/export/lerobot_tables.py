"""The small tables of a LeRobotDataset v3: tasks, episodes and statistics."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pyarrow as pa

from vla_rl_nodes.replay.export.lerobot_layout import Feature
from vla_rl_nodes.replay.export.statistics import QUANTILES, Figures

_TASK = "__index_level_0__"


def json_bytes(data: object) -> bytes:
    """A JSON file: UTF-8, indented, without NaN."""
    return (json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def stats_json(figures: dict[str, Figures | None]) -> dict[str, Any]:
    """meta/stats.json; a feature that is nowhere finite has no entry."""
    return {
        name: {figure: value.tolist() for figure, value in found.items()}
        for name, found in figures.items()
        if found is not None
    }


def tasks_table(tasks: list[str]) -> Any:
    """meta/tasks.parquet: numbers of tasks, with the text as the index that pandas restores."""
    numbers = pa.array(range(len(tasks)), pa.int64())
    table = pa.table({"task_index": numbers, _TASK: pa.array(tasks, pa.string())})

    def column(name: str | None, field: str, kind: str, numpy_type: str) -> dict[str, Any]:
        return {
            "name": name, "field_name": field, "pandas_type": kind, "numpy_type": numpy_type,
            "metadata": None,
        }  # fmt: skip

    pandas = {
        "index_columns": [_TASK],
        "column_indexes": [],
        "columns": [
            column("task_index", "task_index", "int64", "int64"),
            column(None, _TASK, "unicode", "object"),
        ],
        "creator": {"library": "pyarrow", "version": pa.__version__},
        "pandas_version": "2.0.0",
    }
    return table.replace_schema_metadata({"pandas": json.dumps(pandas)})


def episodes_table(rows: list[dict[str, Any]], features: list[Feature], videos: list[str]) -> Any:
    """meta/episodes: where each episode's frames are, and its statistics.

    Args:
        rows: of the episodes, with their figures by feature under ``stats``.
        features: those that have statistics.
        videos: names of those that are videos.
    """
    i64 = pa.int64()
    fields = [
        ("episode_index", i64), ("tasks", pa.list_(pa.string())), ("length", i64),
        ("data/chunk_index", i64), ("data/file_index", i64),
        ("dataset_from_index", i64), ("dataset_to_index", i64),
    ]  # fmt: skip
    for key in videos:
        fields += [(f"videos/{key}/chunk_index", i64), (f"videos/{key}/file_index", i64)]
        times = ("from_timestamp", "to_timestamp")
        fields += [(f"videos/{key}/{name}", pa.float64()) for name in times]
    columns = {name: pa.array([row[name] for row in rows], kind) for name, kind in fields}
    for feature in features:
        for figure in (
            "min",
            "max",
            "mean",
            "std",
            "count",
            *(QUANTILES if feature.is_picture else ()),
        ):
            values = [_figure(row["stats"][feature.name], figure) for row in rows]
            kind = _kind(feature, figure)
            columns[f"stats/{feature.name}/{figure}"] = pa.array(values, kind)
    zeros = pa.array(np.zeros(len(rows), dtype=np.int64))
    columns["meta/episodes/chunk_index"] = columns["meta/episodes/file_index"] = zeros
    return pa.table(columns)


def _figure(figures: Figures | None, name: str) -> Any:
    return None if figures is None else figures[name].tolist()


def _kind(feature: Feature, figure: str) -> Any:
    if figure == "count":
        return pa.list_(pa.int64())
    whole = figure in ("min", "max") and not feature.is_picture and "float" not in feature.dtype
    kind = pa.int64() if whole else pa.float64()
    for _ in feature.shape:
        kind = pa.list_(kind)
    return kind
