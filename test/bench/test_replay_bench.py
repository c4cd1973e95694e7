from __future__ import annotations

import json
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vla_rl_nodes.bags.reader import EpisodeReader
from vla_rl_nodes.bench.replay import read
from vla_rl_nodes.bench.replay.bags import SIDE, START_NS, write_plain_bag
from vla_rl_nodes.bench.replay.convert import measure_converting
from vla_rl_nodes.cli import main

SUBJECTS = {"ours", "rosbags", "mcap_ros2", "read_only"}


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("plain") / "x.mcap"
    write_plain_bag(path, seed=3, megabytes=2, crcs=True)
    return path


def test_the_bag_is_the_one_that_is_described(plain: Path, tmp_path: Path) -> None:
    reader = EpisodeReader(plain)
    seconds = 2e6 / (2 * 30 * SIDE * SIDE * 3)
    counts = {topic: content.count for topic, content in reader.topics.items()}
    assert counts == {
        "/fr3/cameras/scene/image_raw": round(30 * seconds),
        "/fr3/cameras/wrist/image_raw": round(30 * seconds),
        "/fr3/joint_states": round(500 * seconds),
        "/fr3/policy/command": round(50 * seconds),
    }
    assert plain.stat().st_size == pytest.approx(2e6, rel=0.25)
    images = reader.columns("/fr3/cameras/scene/image_raw")
    pixels = images.fields["data"]
    assert isinstance(pixels, np.ndarray) and pixels.shape[1] == SIDE * SIDE * 3
    noise = np.diff(pixels.astype(np.int16), axis=0).std()
    assert noise == pytest.approx(3 * 2**0.5, rel=0.1)
    assert images.stamps_ns[0] == START_NS
    again, other, bare = (tmp_path / name for name in ("again", "other", "bare"))
    write_plain_bag(again, seed=3, megabytes=2, crcs=True)
    write_plain_bag(other, seed=4, megabytes=2, crcs=True)
    assert again.read_bytes() == plain.read_bytes() != other.read_bytes()
    write_plain_bag(bare, seed=3, megabytes=2, crcs=False)
    assert list(EpisodeReader(plain)) == list(EpisodeReader(_named(bare)))


def _named(path: Path) -> Path:
    return path.rename(path.with_suffix(".mcap"))


def test_readers_find_the_same_messages(plain: Path) -> None:
    mine, theirs, others = read.ours(plain), read.rosbags(plain), read.mcap_ros2(plain)
    assert read.equal(mine, theirs)
    assert {t: len(m) for t, m in theirs.items()} == {t: len(m) for t, m in others.items()}
    assert read.read_only(plain) == plain.stat().st_size
    theirs["/fr3/joint_states"][7].name[2] += "x"
    assert not read.equal(mine, theirs)
    theirs = read.rosbags(plain)
    theirs["/fr3/policy/command"][1].position = np.zeros(7)
    assert not read.equal(mine, theirs)
    del theirs["/fr3/policy/command"]
    assert not read.equal(mine, theirs)


def test_reading_is_measured(tmp_path: Path) -> None:
    rounds: list[int] = []
    result = read.measure_reading(1, 1, tmp_path, 2, lambda: rounds.append(1))
    assert len(rounds) == 4 and not list(tmp_path.iterdir())
    for key in ("read_mb_s", "read_no_crc_mb_s"):
        assert set(result[key]) == SUBJECTS and min(result[key].values()) > 0
    check = result["bags_check"]
    assert check["equal"] is True
    for name, goal in (("rosbags", 5.0), ("mcap_ros2", 9.0)):
        ratio = result["read_mb_s"]["ours"] / result["read_mb_s"][name]
        assert check[name]["ratio"] == ratio and check[name]["goal"] == goal
        assert check[name]["met"] == (ratio >= goal)


def test_converting_is_measured_on_an_episode_that_converts(tmp_path: Path) -> None:
    result = measure_converting(2, 3, tmp_path, 1, lambda: None)
    assert set(result) == {"to_folder", "to_store", "read_only", "share", "parity"}
    assert result["parity"] == 1.0
    assert result["share"] == result["to_store"] / result["read_only"]
    assert not list(tmp_path.iterdir())


def module(monkeypatch: pytest.MonkeyPatch, name: str, **functions: Any) -> None:
    stand_in = types.ModuleType(name)
    for key, function in functions.items():
        setattr(stand_in, key, function)
    monkeypatch.setitem(sys.modules, name, stand_in)


def test_command_prints_every_figure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = []

    def export(seed: int, folder: Path) -> dict[str, float]:
        folders.append(folder)
        return {"lerobot": 500.0 + seed}

    base = "vla_rl_nodes.bench.replay"
    times = {"ours": 1.0, "torchrl": 6.0, "numpy": 1.0}
    module(monkeypatch, f"{base}.sample", measure_sampling=lambda seed: times)
    module(monkeypatch, f"{base}.export", measure_export=export)
    arguments = ["bench", "replay", "--seed", "5", "--megabytes", "1", "--rounds", "1"]
    assert main([*arguments, "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["sample_ms"] == times and shown["export_frames_s"] == {"lerobot": 505.0}
    assert set(shown["read_mb_s"]) == SUBJECTS and shown["convert_mb_s"]["to_store"] > 0
    assert shown["seed"] == 5 and shown["megabytes"] == 1
    assert not folders[0].exists()
    assert main(arguments) == 0
    printed = capsys.readouterr()
    assert "times as fast as rosbags (goal 5" in printed.out
    assert "fields of all messages are equal" in printed.out and printed.err == ""


@pytest.mark.parametrize("missing", ["vla_rl_nodes.bench.replay.sample", "mcap_ros2"])
def test_what_is_not_installed_is_named_before_anything_is_measured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], missing: str
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    assert main(["bench", "replay"]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "is not installed; install the [" in said


def test_arguments_of_the_link_measurement(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Any] = []

    def bench_link(options: Any) -> int:
        given.append(options)
        return 3

    module(monkeypatch, "vla_rl_nodes.bench.link.command", bench_link=bench_link)
    assert main(["bench", "link", "--seed", "9", "--json"]) == 3
    options = given[0]
    assert (options.seed, options.robots, options.episodes, options.kills) == (9, 2, 30, 200)
    assert options.json and options.work_folder is None
