"""A LeRobotDataset v3 of another program: the documented files, and nothing else."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from vla_rl_nodes.contract.spec import Contract

STATE_NAMES = ["other", "gripper_speed", "gripper_width", "tool_yaw", "tool_z", "tool_y", "tool_x"]
STATE_UNITS = ["1", "m/s", "m", "rad", "m", "m", "m"]
DATA = "data/chunk-000/file-000.parquet"
EPISODES = "meta/episodes/chunk-000/file-000.parquet"


def joint_contract(small: Contract, policy_hz: int = 20) -> Contract:
    """The small contract with absolute joint positions as its action."""
    data = small.model_dump()
    axis = {"unit": "rad", "minimum": -3.0, "maximum": 3.0}
    data["action"] |= {
        "kind": "joint_position",
        "axes": [{**axis, "name": f"joint_{i}"} for i in range(3)],
    }
    data["rates"]["policy_hz"] = policy_hz
    return Contract.model_validate(data)


def write_plain(
    folder: Path,
    contract: Contract,
    *,
    fps: int = 20,
    lengths: tuple[int, ...] = (7, 5),
    size: tuple[int, int] = (8, 8),
    extra: dict[str, Any] | None = None,
) -> dict[str, np.ndarray]:
    """Writes a dataset and returns what is in it, by feature.

    Args:
        folder: of the dataset.
        contract: whose action it has; the state's columns stand in another order.
        fps: frames a second.
        lengths: frames of each episode.
        size: height and width of the images.
        extra: more columns of numbers [n].
    """
    rng = np.random.default_rng(5)
    n = sum(lengths)
    axes = list(contract.action.names)
    values: dict[str, np.ndarray] = {
        "observation.state": rng.normal(size=(n, len(STATE_NAMES))).astype(np.float32),
        "observation.reference": rng.normal(size=(n, 5)).astype(np.float32),
        "action": rng.uniform(-0.01, 0.01, size=(n, len(axes))).astype(np.float32),
        **(extra or {}),
    }
    pictures = {
        f"observation.images.{name}": rng.integers(0, 256, (n, *size, 3), dtype=np.uint8)
        for name in ("scene", "wrist")
    }
    names = {
        "observation.state": STATE_NAMES,
        "observation.reference": ["tool_x", "tool_y", "tool_z", "tool_yaw", "gripper_width"],
        "action": axes,
    }
    frame = np.concatenate([np.arange(length) for length in lengths])
    own = {
        "timestamp": (frame / fps).astype(np.float32),
        "frame_index": frame,
        "episode_index": np.repeat(np.arange(len(lengths)), lengths),
        "index": np.arange(n),
        "task_index": np.repeat(np.arange(len(lengths)) % 2, lengths),
    }
    columns: dict[str, Any] = {}
    features: dict[str, Any] = {}
    for name, array in {**values, **own}.items():
        columns[name] = pa.array(array if array.ndim == 1 else array.tolist())
        if array.ndim > 1:
            columns[name] = columns[name].cast(pa.list_(pa.float32(), array.shape[1]))
        features[name] = {
            "dtype": str(array.dtype),
            "shape": list(array.shape[1:]) or [1],
            "names": names.get(name),
        }
    for name, images in pictures.items():
        files = [{"bytes": _png(image), "path": "frame.png"} for image in images]
        columns[name] = pa.array(files)
        features[name] = {
            "dtype": "image", "shape": [*size, 3], "names": ["height", "width", "channels"],
        }  # fmt: skip
    stops = np.cumsum(lengths)
    zeros = np.zeros(len(lengths), dtype=np.int64)
    episodes = pa.table(
        {
            "episode_index": np.arange(len(lengths)),
            "length": np.array(lengths),
            "dataset_from_index": stops - lengths,
            "dataset_to_index": stops,
            "data/chunk_index": zeros,
            "data/file_index": zeros,
        }
    )
    info = {
        "codebase_version": "v3.0",
        "robot_type": contract.robot,
        "total_episodes": len(lengths),
        "total_frames": n,
        "total_tasks": 2,
        "chunks_size": 1000,
        "fps": fps,
        "splits": {"train": f"0:{len(lengths)}"},
        "data_path": "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet",
        "video_path": None,
        "features": features,
    }
    for name in (DATA, EPISODES):
        (folder / name).parent.mkdir(parents=True)
    pq.write_table(pa.table(columns), folder / DATA, row_group_size=4)
    pq.write_table(episodes, folder / EPISODES)
    tasks = pa.table({"task_index": [0, 1], "__index_level_0__": ["push", "pull"]})
    pq.write_table(tasks, folder / "meta" / "tasks.parquet")
    (folder / "meta" / "info.json").write_text(json.dumps(info))
    return {**values, **pictures, **own}


def _png(image: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


def mapping_data(contract: Contract) -> dict[str, Any]:
    """What the dataset itself does not say."""
    units = [str(axis.unit) for axis in contract.action.axes]
    return {
        "mapping": 1,
        "streams": {
            "state": {"feature": "observation.state", "units": STATE_UNITS},
            "reference": {
                "feature": "observation.reference", "units": ["m", "m", "m", "rad", "m"],
            },
        },
        "action": {"feature": "action", "units": units},
    }  # fmt: skip
