"""Episodes to a folder that TensorFlow Datasets opens, in RLDS's form, without TensorFlow.

One record is one run of steps, see ``source``; a run of n steps has n+1 rows, since in RLDS the
last step is the observation behind the last action: there ``is_last`` is set and everything but
the observation, the stamp and the three marks says nothing (NaN, -1, 0 or False).
``is_terminal`` is set there where the task ended, and ``discount`` is 0 in the step before.
Where judges said something in words, ``critiques`` is each step's text of ``replay.critique``.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.replay.export.images import Encoding, encode
from vla_rl_nodes.replay.export.lerobot_tables import json_bytes
from vla_rl_nodes.replay.export.source import Counts, Episodes, Run
from vla_rl_nodes.replay.export.tfrecord import Value, example, write_record
from vla_rl_nodes.replay.export.whole_folder import appearing

NAME = "vla_rl"
VERSION = "1.0.0"
SHARD_BYTES = 256 << 20
_MODULE = "tensorflow_datasets.core.features."
_NAMED = {"action_executed": "action"}
_MARKS = ("is_first", "is_last", "is_terminal")
_ONE_LINE = re.compile(r"\s+")
Kind = Literal["array", "bytes", "image", "text"]


def write_rlds(episodes: Episodes, target: Path, images: Encoding) -> Counts:
    """Writes the folder, whole or not at all; ``tfds.builder_from_directory`` opens it.

    The same episodes give the same bytes with the same version of Pillow.

    Args:
        episodes: that agree; see :func:`vla_rl_nodes.replay.export.source.open_episodes`.
        target: a folder that must not exist.
        images: ``png`` keeps every bit, ``jpeg`` does not.

    Returns:
        What became of the steps.

    Raises:
        InputError: the folder exists or cannot be written, an episode is damaged, or no step has
            an executed action.
    """
    with appearing(target) as folder:
        shards = _Shards(folder)
        try:
            for run in episodes.runs():
                shards.write(example(_flat(run, images)))
        finally:
            shards.close()
        counts = episodes.counts
        if not counts.exported:
            raise InputError(
                episodes.folders[0], "no step has an executed action", "export other episodes"
            )
        shards.name_them()
        (folder / "features.json").write_bytes(json_bytes(_features(episodes, images)))
        (folder / "dataset_info.json").write_bytes(json_bytes(_info(episodes, shards)))
    return counts


class _Shards:
    """Records in files of a bounded size, which are named when their number is known."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file: BinaryIO | None = None
        self.lengths: list[int] = []
        self.bytes = 0
        self._filled = 0

    def write(self, message: bytes) -> None:
        if self._file is None or self._filled >= SHARD_BYTES:
            self.close()
            self._file = self._part(len(self.lengths)).open("wb")
            self.lengths.append(0)
            self._filled = 0
        self._filled += write_record(self._file, message)
        self.bytes += len(message)
        self.lengths[-1] += 1

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def name_them(self) -> None:
        total = len(self.lengths)
        for number in range(total):
            name = f"{NAME}-train.tfrecord-{number:05d}-of-{total:05d}"
            self._part(number).rename(self._folder / name)

    def _part(self, number: int) -> Path:
        return self._folder / f"part-{number:05d}"


def _flat(run: Run, images: Encoding) -> dict[str, Value]:
    """A run's values by their flattened names."""
    header, rows = run.header, run.length + 1
    flat: dict[str, Value] = {
        f"episode_metadata/{name}": [value.encode()] for name, value in _described(run).items()
    }
    flat["episode_metadata/first_step"] = np.array([run.first_step])
    flat["steps/language_instruction"] = [header.task.encode()] * rows
    for key, values in run.observations.items():
        name = f"steps/observation/{key}"
        flat[name] = [encode(i, images) for i in values] if values.dtype == np.uint8 else values
    for name, values in run.steps.items():
        last = np.int64(run.end_stamp_ns) if name == "stamp_ns" else _nothing(values.dtype)
        padded = np.concatenate([values, np.full((1, *values.shape[1:]), last, values.dtype)])
        flat[f"steps/{_NAMED.get(name, name)}"] = (
            [row.astype("<f8").tobytes() for row in padded]
            if _kind(values.dtype) == "bytes"
            else padded
        )
    if run.critiques:
        flat["steps/critiques"] = [text.encode() for text in (*run.critiques, "")]
    discount = np.where(run.steps["terminated"], 0.0, 1.0)
    flat["steps/discount"] = np.append(discount, np.nan)
    marks = np.zeros((3, rows), dtype=np.int64)
    marks[0, 0] = marks[1, -1] = 1
    marks[2, -1] = run.steps["terminated"][-1]
    return flat | {f"steps/{name}": mark for name, mark in zip(_MARKS, marks, strict=True)}


def _described(run: Run) -> dict[str, str]:
    header = run.header
    return {
        "episode_id": header.episode_id,
        "content_sha256": header.content_sha256,
        "outcome": header.outcome,
        "goal": header.goal,
    }


def _nothing(dtype: np.dtype[Any]) -> Any:
    return {"f": np.nan, "i": -1}.get(dtype.kind, 0)


def _kind(dtype: np.dtype[Any]) -> Kind:
    # An Example has no doubles: they are kept as bytes, so that no digit is lost.
    return "bytes" if dtype == np.float64 else "array"


def _features(episodes: Episodes, images: Encoding) -> dict[str, Any]:
    """features.json: TFDS's classes and their arguments."""
    observation = {
        key: _image(shape, images)
        if dtype == "|u1"
        else _tensor(np.dtype(dtype), tuple(shape), "array")
        for key, (dtype, shape) in episodes.first.streams.items()
    }
    steps = {"observation": _dict(observation), "language_instruction": _text()}
    for name, (dtype, shape) in episodes.kinds.items():
        steps[_NAMED.get(name, name)] = _tensor(dtype, shape, _kind(dtype))
    if episodes.has_critiques:
        steps["critiques"] = _text()
    steps["discount"] = _tensor(np.dtype(np.float32), (), "array")
    steps |= {name: _tensor(np.dtype(np.bool_), (), "array") for name in _MARKS}
    metadata = {name: _text() for name in ("episode_id", "content_sha256", "outcome", "goal")} | {
        "first_step": _tensor(np.dtype(np.int64), (), "array")
    }
    sequence = {
        "pythonClassName": f"{_MODULE}dataset_feature.Dataset",
        "sequence": {"feature": _dict(steps), "length": "-1"},
    }
    return _dict({"steps": sequence, "episode_metadata": _dict(metadata)})


def _dict(features: dict[str, Any]) -> dict[str, Any]:
    return {
        "pythonClassName": f"{_MODULE}features_dict.FeaturesDict",
        "featuresDict": {"features": dict(sorted(features.items()))},
    }


def _text() -> dict[str, Any]:
    return {"pythonClassName": f"{_MODULE}text_feature.Text", "text": {}}


def _shape(shape: tuple[int, ...]) -> dict[str, list[str]]:
    return {"dimensions": [str(size) for size in shape]} if shape else {}


def _tensor(dtype: np.dtype[Any], shape: tuple[int, ...], kind: Kind) -> dict[str, Any]:
    name = "tensor_feature.Tensor" if shape or kind == "bytes" else "scalar.Scalar"
    encoding = "bytes" if kind == "bytes" else "none"
    return {
        "pythonClassName": _MODULE + name,
        "tensor": {"dtype": dtype.name, "encoding": encoding, "shape": _shape(shape)},
    }


def _image(shape: list[int], images: Encoding) -> dict[str, Any]:
    return {
        "pythonClassName": f"{_MODULE}image_feature.Image",
        "image": {"dtype": "uint8", "encodingFormat": images, "shape": _shape(tuple(shape))},
    }


def _info(episodes: Episodes, shards: _Shards) -> dict[str, Any]:
    header = episodes.first
    text = (
        f"Episodes of contract {header.contract} {header.contract_sha256} on {header.robot} at"
        f" {header.policy_hz} Hz. Actions: {', '.join(header.action_names)}."
        f" Policy versions: {', '.join(episodes.policy_versions)}."
        f" Reward sources: {', '.join(episodes.reward_sources)}."
    )
    return {
        "name": NAME,
        "version": VERSION,
        "description": _ONE_LINE.sub(" ", text),
        "fileFormat": "tfrecord",
        "moduleName": "vla_rl_nodes.replay.export.rlds",
        "splits": [
            {
                "name": "train",
                "filepathTemplate": "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}",
                "numBytes": str(shards.bytes),
                "shardLengths": [str(length) for length in shards.lengths],
            }
        ],
    }
