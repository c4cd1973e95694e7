"""The folder as TensorFlow Datasets documents it, read with Protocol Buffers alone."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
import pytest

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.replay.export import rlds
from vla_rl_nodes.replay.export.images import decode
from vla_rl_nodes.replay.export.rlds import write_rlds
from vla_rl_nodes.replay.export.source import Run, open_episodes

from .test_tfrecord import EXAMPLE


@pytest.fixture(scope="module")
def folder(folders: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("rlds") / "out"
    write_rlds(open_episodes(folders), target, "png")
    return target


@pytest.fixture(scope="module")
def runs(folders: list[Path]) -> list[Run]:
    return list(open_episodes(folders).runs())


def records(path: Path) -> list[Any]:
    """The examples of a file, with their lengths and checksums checked."""
    data, at, found = path.read_bytes(), 0, []
    while at < len(data):
        (length,) = struct.unpack_from("<Q", data, at)
        message = data[at + 12 : at + 12 + length]
        (crc,) = struct.unpack_from("<I", data, at + 12 + length)
        plain = (crc - 0xA282EAD8) % 2**32
        assert (plain << 15 | plain >> 17) % 2**32 == google_crc32c.value(message)
        found.append(EXAMPLE.FromString(message).features.feature)
        at += 16 + length
    return found


def test_records_are_runs_with_the_last_observation(folder: Path, runs: list[Run]) -> None:
    found = records(folder / "vla_rl-train.tfrecord-00000-of-00001")
    assert len(found) == len(runs)
    for record, run in zip(found, runs, strict=True):
        n = run.length
        actions = np.array(record["steps/action"].floatlist.value, dtype=np.float32).reshape(-1, 5)
        np.testing.assert_array_equal(actions[:n], run.steps["action_executed"])
        assert np.isnan(actions[n]).all() and len(actions) == n + 1
        state = np.array(record["steps/observation/state"].floatlist.value, dtype=np.float32)
        assert state.tobytes() == run.observations["state"].tobytes()
        files = record["steps/observation/image_wrist"].byteslist.value
        for file, image in zip(files, run.observations["image_wrist"], strict=True):
            np.testing.assert_array_equal(decode(file, {(8, 8)}, "here"), image)
        stamps = list(record["steps/stamp_ns"].int64list.value)
        assert stamps == [*run.steps["stamp_ns"].tolist(), run.end_stamp_ns]
        seeds = list(record["steps/noise_seed"].int64list.value)
        assert seeds == [*run.steps["noise_seed"].tolist(), -1]
        privileged = b"".join(record["steps/privileged"].byteslist.value)
        assert privileged[: -3 * 8] == run.steps["privileged"].tobytes()
        marks = {
            name: list(record[f"steps/{name}"].int64list.value)
            for name in ("is_first", "is_last", "is_terminal")
        }
        terminal = bool(run.steps["terminated"][-1])
        assert marks == {
            "is_first": [1] + [0] * n, "is_last": [0] * n + [1],
            "is_terminal": [0] * n + [int(terminal)],
        }  # fmt: skip
        discount = np.array(record["steps/discount"].floatlist.value)
        assert discount[:n].tolist() == [1.0] * (n - 1) + [0.0 if terminal else 1.0]
        text = {run.header.task.encode()}
        assert set(record["steps/language_instruction"].byteslist.value) == text
        identity = record["episode_metadata/episode_id"].byteslist.value
        assert list(identity) == [run.header.episode_id.encode()]


def test_the_description_names_every_feature(folder: Path, runs: list[Run]) -> None:
    info = json.loads((folder / "dataset_info.json").read_text())
    (split,) = info["splits"]
    assert split["shardLengths"] == [str(len(runs))]
    size = (folder / "vla_rl-train.tfrecord-00000-of-00001").stat().st_size
    assert int(split["numBytes"]) == size - 16 * len(runs)
    features = json.loads((folder / "features.json").read_text())["featuresDict"]["features"]
    steps = features["steps"]["sequence"]["feature"]["featuresDict"]["features"]
    observation = steps.pop("observation")["featuresDict"]["features"]
    named = {f"steps/{n}" for n in steps} | {f"steps/observation/{n}" for n in observation}
    metadata = features["episode_metadata"]["featuresDict"]["features"]
    named |= {f"episode_metadata/{n}" for n in metadata}
    record = records(folder / "vla_rl-train.tfrecord-00000-of-00001")[0]
    assert named == set(record)
    assert steps["privileged"]["tensor"] == {
        "dtype": "float64", "encoding": "bytes", "shape": {"dimensions": ["3"]},
    }  # fmt: skip
    assert observation["image_wrist"]["image"]["encodingFormat"] == "png"


def test_files_are_filled_one_after_another(
    folders: list[Path], tmp_path: Path, runs: list[Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rlds, "SHARD_BYTES", 20_000)
    write_rlds(open_episodes(folders), tmp_path / "out", "png")
    names = sorted(p.name for p in (tmp_path / "out").glob("*tfrecord*"))
    total = len(names)
    assert total > 2
    assert names == [f"vla_rl-train.tfrecord-{i:05d}-of-{total:05d}" for i in range(total)]
    found = [records(tmp_path / "out" / name) for name in names]
    info = json.loads((tmp_path / "out" / "dataset_info.json").read_text())
    assert info["splits"][0]["shardLengths"] == [str(len(part)) for part in found]
    stamps = [r["steps/stamp_ns"].int64list.value[0] for part in found for r in part]
    assert stamps == [int(run.steps["stamp_ns"][0]) for run in runs]


def test_twice_the_same_bytes(folders: list[Path], folder: Path, tmp_path: Path) -> None:
    write_rlds(open_episodes(folders), tmp_path / "out", "png")
    for path in folder.iterdir():
        assert (tmp_path / "out" / path.name).read_bytes() == path.read_bytes()


def test_without_any_action_there_is_no_folder(folders: list[Path], tmp_path: Path) -> None:
    episodes = open_episodes(folders)
    episodes.runs = lambda: iter(())  # type: ignore[method-assign]
    with pytest.raises(InputError, match="no step has an executed action"):
        write_rlds(episodes, tmp_path / "out", "png")
    assert list(tmp_path.iterdir()) == []
