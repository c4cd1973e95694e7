"""The file as robomimic documents it, opened with h5py alone."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.replay.export import robomimic
from vla_rl_nodes.replay.export.robomimic import NAME, write_robomimic
from vla_rl_nodes.replay.export.source import Run, open_episodes


@pytest.fixture(scope="module")
def path(folders: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("robomimic") / "out"
    write_robomimic(open_episodes(folders), target)
    return target / NAME


@pytest.fixture(scope="module")
def runs(folders: list[Path]) -> list[Run]:
    return list(open_episodes(folders).runs())


def test_every_demonstration_has_the_documented_parts(path: Path, runs: list[Run]) -> None:
    with h5py.File(path) as file:
        data = file["data"]
        assert set(data) == {f"demo_{k}" for k in range(len(runs))}
        assert data.attrs["total"] == sum(run.length for run in runs)
        environment = json.loads(data.attrs["env_args"])
        assert set(environment) == {"env_name", "type", "env_kwargs"}
        assert environment["env_kwargs"]["control_freq"] == 20
        assert environment["env_kwargs"]["state_names"] == ["q0", "q1", "q2"]
        for number, run in enumerate(runs):
            demo = data[f"demo_{number}"]
            assert demo.attrs["num_samples"] == run.length
            for name, array in (
                ("actions", "action_executed"), ("rewards", "reward"), ("states", "privileged"),
                ("stamp_ns", "stamp_ns"), ("intervened", "intervened"),
                ("truncated", "truncated"), ("safety_reasons", "safety_reasons"),
            ):  # fmt: skip
                found, expected = demo[name][:], run.steps[array]
                assert found.dtype == expected.dtype and found.tobytes() == expected.tobytes()
            np.testing.assert_array_equal(demo["dones"][:], run.steps["terminated"])
            assert set(demo["obs"]) == set(demo["next_obs"]) == set(run.observations)
            for key, rows in run.observations.items():
                np.testing.assert_array_equal(demo[f"obs/{key}"][:], rows[:-1])
                np.testing.assert_array_equal(demo[f"next_obs/{key}"][:], rows[1:])
                assert demo[f"obs/{key}"].dtype == rows.dtype


def test_the_masks_split_by_episode(path: Path, runs: list[Run]) -> None:
    with h5py.File(path) as file:
        split = {
            name: [text.decode() for text in file[f"mask/{name}"][:]]
            for name in ("train", "valid")
        }
    demos = {f"demo_{k}": run.source for k, run in enumerate(runs)}
    assert sorted(split["train"] + split["valid"]) == sorted(demos)
    assert {demos[name] for name in split["valid"]} == {2}


def test_the_rule_of_the_split() -> None:
    def valid(episodes: int) -> list[int]:
        return [i for i in range(episodes) if robomimic._is_valid(i, episodes)]

    assert [valid(n) for n in (1, 2, 9, 10, 25)] == [[], [1], [8], [9], [9, 19]]


def test_twice_the_same_bytes(folders: list[Path], path: Path, tmp_path: Path) -> None:
    write_robomimic(open_episodes(folders), tmp_path / "out")
    assert (tmp_path / "out" / NAME).read_bytes() == path.read_bytes()
    assert [p.name for p in (tmp_path / "out").iterdir()] == [NAME]


def test_without_any_action_there_is_no_file(folders: list[Path], tmp_path: Path) -> None:
    episodes = replace(open_episodes(folders))
    episodes.runs = lambda: iter(())  # type: ignore[method-assign]
    with pytest.raises(InputError, match="no step has an executed action"):
        write_robomimic(episodes, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []
