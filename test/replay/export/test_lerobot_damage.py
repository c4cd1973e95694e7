"""Datasets from anywhere: every damage is one line, and nothing outside of the folder is read."""

from __future__ import annotations

import json
import os
import re
import shutil
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.replay.export import parquet
from vla_rl_nodes.replay.export.command import import_command
from vla_rl_nodes.replay.export.lerobot_import import LeRobotImport
from vla_rl_nodes.replay.export.lerobot_read import LeRobotFolder
from vla_rl_nodes.replay.export.lerobot_write import write_lerobot
from vla_rl_nodes.replay.export.mapping import Mapping, plan
from vla_rl_nodes.replay.export.source import open_episodes

from .plain_dataset import DATA, EPISODES, STATE_UNITS, mapping_data, write_plain

Damage = Callable[[Path], None]


def info(**values: Any) -> Damage:
    """info.json says something else."""

    def damage(folder: Path) -> None:
        path = folder / "meta" / "info.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | values))

    return damage


def feature(name: str, **values: Any) -> Damage:
    """A feature is described otherwise."""

    def damage(folder: Path) -> None:
        features = json.loads((folder / "meta" / "info.json").read_text())["features"]
        features[name] = features.get(name, {}) | values
        info(features=features)(folder)

    return damage


def without(name: str) -> Damage:
    def damage(folder: Path) -> None:
        features = json.loads((folder / "meta" / "info.json").read_text())["features"]
        del features[name]
        info(features=features)(folder)

    return damage


def table(name: str, change: Callable[[Any], Any]) -> Damage:
    """A Parquet file holds another table."""

    def damage(folder: Path) -> None:
        pq.write_table(change(pq.read_table(folder / name)), folder / name, row_group_size=4)

    return damage


def column(name: str, values: Callable[[Any], Any], file: str = DATA) -> Damage:
    """A column holds something else."""

    def change(found: Any) -> Any:
        index = found.column_names.index(name)
        return found.set_column(index, name, values(found.column(name)))

    return table(file, change)


def raw(name: str, change: Callable[[bytes], bytes]) -> Damage:
    def damage(folder: Path) -> None:
        (folder / name).write_bytes(change((folder / name).read_bytes()))

    return damage


def removed(name: str) -> Damage:
    return lambda folder: (folder / name).unlink()


def link_out(folder: Path) -> None:
    outside = folder.parent / "outside.parquet"
    shutil.move(folder / DATA, outside)
    (folder / DATA).symlink_to(outside)


def parts_out(folder: Path) -> None:
    shutil.move(folder / "data", folder.parent / "elsewhere")
    (folder / "data").symlink_to(folder.parent / "elsewhere")


def pipe(folder: Path) -> None:
    (folder / DATA).unlink()
    os.mkfifo(folder / DATA)


def other(index: int, value: Any) -> Callable[[Any], Any]:
    """One value of a column is another one."""

    def change(values: Any) -> Any:
        found = values.to_pylist()
        found[index] = value
        return pa.array(found, values.type)

    return change


def with_nan(values: Any) -> Any:
    found = values.to_pylist()
    found[2][3] = float("nan")
    return pa.array(found, values.type)


def as_list(values: Any) -> Any:
    found = values.to_pylist()
    found[3] = found[3][:-1]
    return pa.array(found, pa.list_(pa.float32()))


IMAGE = "observation.images.scene"
BACKWARDS = list(range(11, -1, -1))
BAD = {"bytes": b"no image", "path": None}
CASES: dict[str, tuple[Damage, str]] = {
    "no info": (removed("meta/info.json"), "cannot be read"),
    "info no json": (raw("meta/info.json", lambda d: d[:-20]), "is no JSON file"),
    "info nested": (raw("meta/info.json", lambda d: b"[" * 100_000), "is no JSON file"),
    "info not utf-8": (raw("meta/info.json", lambda d: b"\xff" + d), "is no JSON file"),
    "info a list": (raw("meta/info.json", lambda d: b"[]"), "info.json: the file:"),
    "version 2": (info(codebase_version="v2.1"), "of version 'v2.1', not v3"),
    "no fps": (info(fps=None), r"info.json: fps"),
    "fps zero": (info(fps=0), r"info.json: fps"),
    "fps no multiple": (info(fps=30), "no multiple of 20 Hz"),
    "fps of increments": (info(fps=40), "increments and cannot be left out"),
    "no episodes": (info(total_episodes=0), "total_episodes"),
    "absurdly many episodes": (info(total_episodes=10**12), "total_episodes"),
    "absurdly many frames": (info(total_frames=10**18), "total_frames"),
    "other number of episodes": (info(total_episodes=3), "has 2 episodes, info.json says 3"),
    "other number of frames": (info(total_frames=13), "overlap or leave a hole"),
    "path up": (info(data_path="../{chunk_index}/x.parquet"), "leads out of the dataset"),
    "path hidden up": (info(data_path="data/../../x"), "leads out of the dataset"),
    "path absolute": (info(data_path="/etc/passwd"), "leads out of the dataset"),
    "path backslash": (info(data_path="..\\x"), "leads out of the dataset"),
    "path with nul": (info(data_path="a\0b"), "leads out of the dataset"),
    "path of attributes": (info(data_path="{chunk_index.__class__}"), "is not understood"),
    "path of wide numbers": (info(data_path="{file_index:0999999999d}"), "is not understood"),
    "path unknown": (info(data_path="{home}"), "path template has '{home}'"),
    "path of a folder": (info(data_path="data"), "is no file"),
    "link out": (link_out, "is a link that leads out of the dataset"),
    "folder out": (parts_out, "is a link that leads out of the dataset"),
    "pipe": (pipe, "is no file"),
    "feature name up": (feature("../x", dtype="video", shape=[1]), r"has a feature '\.\./x'"),
    "video without a path": (
        feature(IMAGE, dtype="video"), "has not one column 'videos/",
    ),
    "no state": (without("observation.state"), "has no feature 'observation.state'"),
    "no image": (without(IMAGE), f"has no feature '{IMAGE}' for stream image_scene"),
    "state of text": (feature("observation.state", dtype="string"), "is string.*not a vector"),
    "state too wide": (feature("observation.state", shape=[8]), "has 8 components and 7 names"),
    "shape absurd": (feature("action", shape=[10**9]), "features.action.shape"),
    "shape negative": (feature("action", shape=[-5]), "features.action.shape"),
    "image size": (feature(IMAGE, shape=[9, 9, 3]), "is image.*not an image"),
    "image of numbers": (feature(IMAGE, dtype="float32"), "is float32.*not an image"),
    "names": (feature("action", names=list("abcde")), "has not one component 'tool_x'"),
    "no names": (feature("action", names=None), "does not say its names"),
    "another robot": (info(robot_type="so100"), "is of the robot 'so100'"),
    "no robot": (info(robot_type=None), "is of the robot 'unknown'"),
    "no data": (removed(DATA), "cannot be read"),
    "data cut": (raw(DATA, lambda d: d[: len(d) // 2]), "is no whole Parquet file"),
    "data empty": (raw(DATA, lambda d: b""), "is no whole Parquet file"),
    "data no parquet": (raw(DATA, lambda d: b"PAR1" * 100), "is no whole Parquet file"),
    "data too short": (table(DATA, lambda t: t.slice(0, 9)), "has 9 rows, not those from 7 to 12"),
    "data without a column": (
        table(DATA, lambda t: t.drop_columns(["action"])), "has not one column 'action'",
    ),
    "data of other rows": (table(DATA, lambda t: t.take(BACKWARDS)), "where it should"),
    "frame twice": (column("frame_index", other(2, 1)), "does not hold episode 0 where it should"),
    "other episode": (column("episode_index", other(8, 0)), "does not hold episode 1"),
    "action of text": (
        column("action", lambda v: pa.array(["x"] * len(v))), "'action' has another shape",
    ),
    "action short": (column("action", as_list), "'action' has another shape"),
    "action missing": (column("action", other(4, None)), "'action' has another shape"),
    "action not finite": (column("action", with_nan), "action is not finite"),
    "state not finite": (column("observation.state", with_nan), "observation.state is not finite"),
    "task unknown": (column("task_index", other(1, 9)), "has not one task"),
    "task negative": (column("task_index", other(0, -1)), "has not one task"),
    "image broken": (column(IMAGE, other(5, BAD)), "frame 5: is no whole PNG or JPEG"),
    "image elsewhere": (
        column(IMAGE, other(5, {"bytes": None, "path": "/etc/passwd"})),
        "has images outside of the file",
    ),
    "images are numbers": (
        column(IMAGE, lambda v: pa.array(range(len(v)))), "is not of images",
    ),
    "no episodes table": (removed(EPISODES), "holds no Parquet file"),
    "name not utf-8": (
        raw(EPISODES, lambda d: d.replace(b"length", b"\xffength")), "is no whole Parquet file",
    ),
    "episodes cut": (raw(EPISODES, lambda d: d[:-10]), "is no whole Parquet file"),
    "episodes overlap": (
        column("dataset_from_index", other(1, 3), EPISODES), "overlap or leave a hole",
    ),
    "episode negative": (column("length", other(1, -5), EPISODES), "overlap or leave a hole"),
    "chunk negative": (column("data/chunk_index", other(0, -1), EPISODES), "is out of range"),
    "chunk absurd": (column("data/file_index", other(1, 2**62), EPISODES), "is out of range"),
    "chunk missing": (column("data/file_index", other(1, 7), EPISODES), "cannot be read"),
    "no tasks": (removed("meta/tasks.parquet"), "cannot be read"),
    "tasks twice": (
        column("task_index", other(1, 0), "meta/tasks.parquet"), "is no table of numbered tasks",
    ),
    "tasks of numbers": (
        column("__index_level_0__", lambda v: pa.array([1, 2]), "meta/tasks.parquet"),
        "has a task that is no text",
    ),
}  # fmt: skip


def first_problem(folder: Path, contract: Contract, mapping: Any) -> InputError:
    """What is said of a dataset, or of one of its episodes."""
    try:
        dataset = LeRobotFolder(folder)
        chosen = plan(dataset, contract, Mapping.model_validate(mapping))
        for episode in LeRobotImport(dataset, chosen).episodes():
            if isinstance(episode, InputError):
                return episode
    except InputError as error:
        return error
    pytest.fail("the damage was not noticed")


@pytest.fixture(scope="module")
def intact(small: Contract, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("intact") / "d"
    write_plain(folder, small)
    return folder


@pytest.mark.parametrize("name", CASES)
def test_damage_is_one_line(name: str, intact: Path, small: Contract, tmp_path: Path) -> None:
    damage, problem = CASES[name]
    folder = tmp_path / "d"
    shutil.copytree(intact, folder)
    damage(folder)
    error = first_problem(folder, small, mapping_data(small))
    assert error.args and "\n" not in str(error) and str(error).count("; ") >= 1
    assert re.search(problem, str(error)), str(error)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"streams": {"nobody": {"feature": "x"}}}, "stream 'nobody' is none of"),
        ({"action": {"feature": "nothing"}}, "has no feature 'nothing' for the action"),
        ({"action": {"feature": "action"}}, "does not say its units"),
        ({"action": {"feature": "action", "units": ["m"]}}, "5 components and 1 units"),
        (
            {"action": {"feature": "action", "units": ["m", "m", "mm", "rad", "m"]}},
            "tool_z is in 'mm', the contract's in 'm'",
        ),
        (
            {
                "action": {
                    "feature": "action",
                    "units": ["m"] * 5,
                    "names": ["tool_x", "tool_x", "tool_z", "tool_yaw", "gripper_width"],
                }
            },
            "has not one component 'tool_x'",
        ),
        (
            {"streams": {"state": {"feature": "observation.state", "units": STATE_UNITS}}},
            "observation.reference: does not say its units",
        ),
    ],
)
def test_a_mapping_that_does_not_fit(
    change: Any, problem: str, intact: Path, small: Contract
) -> None:
    error = first_problem(intact, small, mapping_data(small) | change)
    assert problem in str(error) and "\n" not in str(error)


OWN: dict[str, tuple[Damage, str]] = {
    "export cut": (raw("vla_rl/export.json", lambda d: d[:-9]), "is no JSON file"),
    "export of another": (raw("vla_rl/export.json", lambda d: b"{}"), "field required"),
    "episode id": (
        raw("vla_rl/export.json", lambda d: d.replace(b'"ep-1"', b'"../ep"')), "episode_id",
    ),
    "policy version": (
        raw("vla_rl/export.json", lambda d: d.replace(b'"v1",', b"").replace(b'"v2"', b"")),
        "policy_version is none of the table's",
    ),
    "final of others": (
        column("episode_index", other(0, 4), "vla_rl/final_observations.parquet"),
        "has other episodes than the dataset",
    ),
    "final too short": (
        table("vla_rl/final_observations.parquet", lambda t: t.slice(1)), "rows, not those from",
    ),
    "final before": (
        column("stamp_ns", other(0, 5), "vla_rl/final_observations.parquet"),
        "stamps do not ascend",
    ),
    "final image": (
        column(IMAGE, other(0, BAD), "vla_rl/final_observations.parquet"), "is no whole PNG",
    ),
    "goes on": (column("next.terminated", other(0, True)), "goes on behind its end"),
    "stamps": (column("complementary_info.stamp_ns", other(0, 2**62)), "do not ascend"),
}  # fmt: skip


@pytest.mark.parametrize("name", OWN)
def test_damage_to_our_own_is_one_line(
    name: str, folders: list[Path], small: Contract, tmp_path: Path
) -> None:
    write_lerobot(open_episodes(folders[:1]), tmp_path / "d", "png")
    damage, problem = OWN[name]
    damage(tmp_path / "d")
    error = first_problem(tmp_path / "d", small, {"mapping": 1})
    assert problem in str(error) and "\n" not in str(error)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.sampled_from([DATA, EPISODES, "meta/tasks.parquet", "meta/info.json"]), st.data())
def test_flipped_bits_never_crash(
    intact: Path, small: Contract, tmp_path_factory: pytest.TempPathFactory, name: str, data: Any
) -> None:
    folder = tmp_path_factory.mktemp("flipped") / "d"
    shutil.copytree(intact, folder)
    content = bytearray((folder / name).read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        # Half of them where a Parquet file describes itself, which is at its end.
        first = data.draw(st.sampled_from([0, max(0, len(content) - 2500)]))
        at = data.draw(st.integers(first, len(content) - 1))
        content[at] ^= 1 << data.draw(st.integers(0, 7))
    (folder / name).write_bytes(bytes(content))
    said = []
    try:
        dataset = LeRobotFolder(folder)
        chosen = plan(dataset, small, Mapping.model_validate(mapping_data(small)))
        for episode in LeRobotImport(dataset, chosen).episodes():
            if isinstance(episode, InputError):
                said.append(str(episode))
            else:
                assert np.isfinite(episode.transitions.action_executed).all()
    except InputError as error:
        said.append(str(error))
    shutil.rmtree(folder)
    assert not any("\n" in line for line in said)


def test_a_repeated_image_is_not_unpacked_all_at_once(
    intact: Path, small: Contract, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "d"
    shutil.copytree(intact, folder)
    large = {"bytes": b"x" * (1 << 20), "path": None}
    column(IMAGE, lambda v: pa.array([large] * len(v)))(folder)
    assert (folder / DATA).stat().st_size < 1 << 20  # kept once
    monkeypatch.setattr(parquet, "LARGEST_BATCH", 1 << 21)
    monkeypatch.setattr(parquet, "LARGEST_PICTURES", 3 << 20)
    error = first_problem(folder, small, mapping_data(small))
    assert "is absurdly large" in str(error)


def test_the_command_tells_and_goes_on(
    small: Contract, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_plain(tmp_path / "d", small, lengths=(6, 1))
    contract = tmp_path / "contract.yaml"
    contract.write_text(yaml.safe_dump(small.model_dump(exclude_none=True)))
    mapping = tmp_path / "mapping.yaml"
    mapping.write_text(yaml.safe_dump(mapping_data(small)))
    options = Namespace(
        dataset=tmp_path / "d", out=tmp_path / "out", contract=str(contract), mapping=mapping,
        json=True,
    )  # fmt: skip
    assert import_command(options) == 2
    told = capsys.readouterr()
    result = json.loads(told.out)
    assert len(result["episodes"]) == 1 and result["steps"] == 5
    assert "episode 1 is too short for one step" in result["problems"][0]
    assert told.err.count("\n") == 1 and told.err.startswith("vla-rl: ")


def test_a_flipped_number_of_our_own_export_is_noticed(
    folders: list[Path], small: Contract, tmp_path: Path
) -> None:
    write_lerobot(open_episodes(folders[:1]), tmp_path / "d", "png")
    action = pq.read_table(tmp_path / "d" / DATA).column("action").to_pylist()[1]
    wanted = np.array(action, dtype=np.float32).tobytes()
    content = (tmp_path / "d" / DATA).read_bytes()
    assert content.count(wanted) >= 1, "the numbers are not stored as they are"
    (tmp_path / "d" / DATA).write_bytes(content.replace(wanted, wanted[::-1]))
    assert "is no whole Parquet file" in str(first_problem(tmp_path / "d", small, {"mapping": 1}))
