"""The dataset as LeRobot documents it, read with pyarrow alone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.replay.export import lerobot_layout as layout
from vla_rl_nodes.replay.export import lerobot_write
from vla_rl_nodes.replay.export.images import decode
from vla_rl_nodes.replay.export.lerobot_write import write_lerobot
from vla_rl_nodes.replay.export.source import Run, open_episodes


@pytest.fixture(scope="module")
def dataset(folders: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("lerobot") / "dataset"
    write_lerobot(open_episodes(folders), target, "png")
    return target


@pytest.fixture(scope="module")
def runs(folders: list[Path]) -> list[Run]:
    return list(open_episodes(folders).runs())


def _json(path: Path) -> Any:
    return json.loads(path.read_bytes(), parse_constant=lambda name: pytest.fail(name))


def _joined(runs: list[Run], name: str) -> np.ndarray:
    return np.concatenate([run.steps[name] for run in runs])


def test_info_describes_every_column(dataset: Path, runs: list[Run]) -> None:
    info = _json(dataset / layout.INFO)
    frames = sum(run.length for run in runs)
    assert info["codebase_version"] == "v3.0" and info["robot_type"] == "fr3"
    assert (info["fps"], info["total_episodes"], info["total_frames"]) == (20, len(runs), frames)
    assert info["chunks_size"] == 1000 and info["splits"] == {"train": f"0:{len(runs)}"}
    table = pq.read_table(dataset / "data" / "chunk-000" / "file-000.parquet")
    assert table.column_names == list(info["features"])
    assert info["features"]["action"] == {
        "dtype": "float32", "shape": [5],
        "names": ["tool_x", "tool_y", "tool_z", "tool_yaw", "gripper_width"],
    }  # fmt: skip
    assert info["features"]["observation.images.wrist"]["dtype"] == "image"
    fed = [n for n in info["features"] if n.startswith(("action", "observation"))]
    assert fed == [
        "observation.images.scene", "observation.images.wrist", "observation.reference",
        "observation.state", "action",
    ]  # fmt: skip


def test_every_number_is_the_step_s(dataset: Path, runs: list[Run]) -> None:
    table = pq.read_table(dataset / "data" / "chunk-000" / "file-000.parquet")

    def column(name: str, dtype: str) -> np.ndarray:
        return np.array(table.column(name).to_pylist(), dtype=dtype)

    for name, feature, dtype in (
        ("action_executed", "action", "float32"),
        ("action_proposed", "complementary_info.action_proposed", "float32"),
        ("action_intervention", "complementary_info.action_intervention", "float32"),
        ("chunk", "complementary_info.chunk", "float32"),
        ("stamp_ns", "complementary_info.stamp_ns", "int64"),
        ("noise_seed", "complementary_info.noise_seed", "int64"),
        ("safety_reasons", "complementary_info.safety_reasons", "uint32"),
        ("intervened", "complementary_info.is_intervention", "bool"),
        ("privileged", "complementary_info.privileged", "float64"),
        ("policy_version", "complementary_info.policy_version", "int32"),
        ("reward", "next.reward", "float32"),
        ("terminated", "next.terminated", "bool"),
        ("truncated", "next.truncated", "bool"),
    ):
        expected = _joined(runs, name)
        found = column(feature, dtype)
        assert expected.dtype == dtype and found.tobytes() == expected.tobytes(), name
        kind = table.schema.field(feature).type
        inner = kind
        while hasattr(inner, "value_type"):
            inner = inner.value_type
        assert str(inner).replace("double", "float64").replace("float", "float32").replace(
            "float3264", "float64"
        ) in (dtype, "float32" if dtype == "float32" else dtype), name
    done = _joined(runs, "terminated") | _joined(runs, "truncated")
    np.testing.assert_array_equal(column("next.done", "bool"), done)
    state = np.concatenate([run.observations["state"][:-1] for run in runs])
    assert column("observation.state", "float32").tobytes() == state.tobytes()
    lengths = [run.length for run in runs]
    frame = np.concatenate([np.arange(n) for n in lengths])
    np.testing.assert_array_equal(column("frame_index", "int64"), frame)
    np.testing.assert_array_equal(column("index", "int64"), np.arange(sum(lengths)))
    episode = np.repeat(np.arange(len(runs)), lengths)
    np.testing.assert_array_equal(column("episode_index", "int64"), episode)
    np.testing.assert_array_equal(column("timestamp", "float32"), (frame / 20).astype("f4"))


def test_png_images_keep_every_bit(dataset: Path, runs: list[Run]) -> None:
    table = pq.read_table(dataset / "data" / "chunk-000" / "file-000.parquet")
    for key in ("scene", "wrist"):
        pixels = np.concatenate([run.observations[f"image_{key}"][:-1] for run in runs])
        files = table.column(f"observation.images.{key}").to_pylist()
        for file, image in zip(files, pixels, strict=True):
            np.testing.assert_array_equal(decode(file["bytes"], {(8, 8)}, "here"), image)


def test_statistics_are_those_of_all_frames(dataset: Path, runs: list[Run]) -> None:
    stats = _json(dataset / layout.STATS)
    action = _joined(runs, "action_executed").astype(np.float64)
    found = stats["action"]
    assert found["count"] == [len(action)]
    np.testing.assert_array_equal(found["min"], action.min(axis=0))
    np.testing.assert_allclose(found["mean"], action.mean(axis=0), rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(found["std"], action.std(axis=0), rtol=1e-9)
    np.testing.assert_allclose(found["q99"], np.quantile(action, 0.99, axis=0), rtol=1e-12)
    proposed = _joined(runs, "action_proposed")
    whole = proposed[np.isfinite(proposed).all(axis=1)]
    assert stats["complementary_info.action_proposed"]["count"] == [len(whole)]
    pixels = np.concatenate([run.observations["image_wrist"][:-1] for run in runs]) / 255
    mean = np.array(stats["observation.images.wrist"]["mean"])
    assert mean.shape == (3, 1, 1)
    np.testing.assert_allclose(mean.reshape(3), pixels.mean(axis=(0, 1, 2)), rtol=1e-12)


def test_episodes_say_where_their_frames_are(dataset: Path, runs: list[Run]) -> None:
    rows = pq.read_table(dataset / layout.EPISODES).to_pylist()
    at = 0
    for number, (row, run) in enumerate(zip(rows, runs, strict=True)):
        assert row["episode_index"] == number and row["length"] == run.length
        assert (row["dataset_from_index"], row["dataset_to_index"]) == (at, at + run.length)
        assert row["tasks"] == [run.header.task]
        assert row["data/chunk_index"] == row["data/file_index"] == 0
        low = run.steps["action_executed"].min(axis=0).tolist()
        assert row["stats/action/min"] == low
        at += run.length
    tasks = pq.read_table(dataset / layout.TASKS)
    assert tasks.column("task_index").to_pylist() == [0]
    assert json.loads(tasks.schema.metadata[b"pandas"])["index_columns"] == ["__index_level_0__"]


def test_the_export_says_what_each_episode_is(
    dataset: Path, runs: list[Run], folders: list[Path]
) -> None:
    export = _json(dataset / layout.EXPORT)
    for row, run in zip(export["episodes"], runs, strict=True):
        assert row["episode_id"] == run.header.episode_id
        assert row["content_sha256"] == run.header.content_sha256
        assert (row["first_step"], row["steps"]) == (run.first_step, run.header.steps)
    episodes = open_episodes(folders)
    list(episodes.runs())
    assert export["counts"]["dropped_without_action"] == episodes.counts.dropped_without_action
    final = pq.read_table(dataset / layout.FINAL).to_pylist()
    for row, run in zip(final, runs, strict=True):
        assert row["stamp_ns"] == run.end_stamp_ns
        state = np.array(row["observation.state"], dtype=np.float32)
        np.testing.assert_array_equal(state, run.observations["state"][-1])
        image = decode(row["observation.images.scene"]["bytes"], {(8, 8)}, "here")
        np.testing.assert_array_equal(image, run.observations["image_scene"][-1])


def _bytes(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.mark.parametrize("images", ["png", "jpeg"])
def test_twice_the_same_bytes(folders: list[Path], tmp_path: Path, images: Any) -> None:
    for name in ("one", "two"):
        write_lerobot(open_episodes(folders), tmp_path / name, images)
    one, two = _bytes(tmp_path / "one"), _bytes(tmp_path / "two")
    assert list(one) == list(two) and len(one) == 7
    assert [name for name in one if one[name] != two[name]] == []


def test_files_are_filled_one_after_another(
    folders: list[Path], tmp_path: Path, runs: list[Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layout, "DATA_FILE_MB", 0.01)
    monkeypatch.setattr(layout, "CHUNKS_SIZE", 2)
    write_lerobot(open_episodes(folders), tmp_path / "out", "png")
    rows = pq.read_table(tmp_path / "out" / layout.EPISODES).to_pylist()
    places = [(r["data/chunk_index"], r["data/file_index"]) for r in rows]
    assert places == sorted(places) and len(set(places)) > 3 and max(places)[0] > 1
    for row, run in zip(rows, runs, strict=True):
        name = layout.DATA_TEMPLATE.format(
            chunk_index=row["data/chunk_index"], file_index=row["data/file_index"]
        )
        table = pq.read_table(tmp_path / "out" / name)
        own = [r for r in table.to_pylist() if r["episode_index"] == row["episode_index"]]
        assert [r["complementary_info.stamp_ns"] for r in own] == run.steps["stamp_ns"].tolist()


def test_a_failure_leaves_nothing(
    folders: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(self: Any) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(lerobot_write._Writer, "finish", fails)
    with pytest.raises(InputError, match=r"out: cannot be written \(no space left on device\)"):
        write_lerobot(open_episodes(folders), tmp_path / "out", "png")
    assert list(tmp_path.iterdir()) == []


def test_an_existing_folder_is_left_alone(folders: list[Path], tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(InputError, match="exists already; remove it or choose another name"):
        write_lerobot(open_episodes(folders), tmp_path / "out", "png")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(InputError, match="exists already"):
        write_lerobot(open_episodes(folders), tmp_path / "link", "png")


KILLED = """
import sys
from pathlib import Path
from vla_rl_nodes.replay.export.lerobot_write import write_lerobot
from vla_rl_nodes.replay.export.source import open_episodes
out, *folders = map(Path, sys.argv[1:])
number = 0
print("ready", flush=True)
while True:
    write_lerobot(open_episodes(folders), out / str(number), "png")
    number += 1
"""


def test_killed_at_any_moment_every_folder_is_whole(folders: list[Path], tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, tmp_path, *folders], stdout=subprocess.PIPE
    )
    try:
        assert process.stdout is not None and process.stdout.readline() == b"ready\n"
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:  # in the middle of the third dataset
            if (tmp_path / "1").exists() and list(tmp_path.glob(".exporting-*/data")):
                break
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    named = [path for path in tmp_path.iterdir() if not path.name.startswith(".")]
    assert len(named) >= 2
    whole = _bytes(tmp_path / "0")
    for folder in named:
        assert _bytes(folder) == whole


def test_without_any_action_there_is_no_dataset(folders: list[Path], tmp_path: Path) -> None:
    episodes = open_episodes(folders)
    episodes.runs = lambda: iter(())  # type: ignore[method-assign]
    with pytest.raises(InputError, match="no step has an executed action"):
        write_lerobot(episodes, tmp_path / "out", "png")
    assert list(tmp_path.iterdir()) == []


def test_two_streams_cannot_be_one_feature(folders: list[Path], tmp_path: Path) -> None:
    episodes = open_episodes(folders)
    streams = episodes.first.streams
    object.__setattr__(episodes.first, "streams", {**streams, "wrist": streams["image_wrist"]})
    with pytest.raises(InputError, match=r"would be the feature 'observation.images.wrist'"):
        write_lerobot(episodes, tmp_path / "out", "png")
