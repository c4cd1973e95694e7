from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.replay.episode import LayoutError, load_episode
from vla_rl_nodes.replay.export import source
from vla_rl_nodes.replay.export.source import open_episodes

from .plain_runs import plain_runs


def test_runs_are_the_steps_between_holes(folders: list[Path]) -> None:
    episodes = open_episodes(folders)
    runs = list(episodes.runs())
    at = 0
    for number, folder in enumerate(folders):
        episode = load_episode(folder)
        arrays = episode.transitions.arrays()
        for index, steps in enumerate(plain_runs(episode)):
            run = runs[at]
            at += 1
            assert (run.source, run.number, run.first_step) == (number, index, steps[0])
            assert run.length == len(steps)
            for name in ("stamp_ns", "action_executed", "reward", "noise_seed", "chunk"):
                np.testing.assert_array_equal(run.steps[name], arrays[name][steps], name)
            for key, rows in run.observations.items():
                np.testing.assert_array_equal(rows, arrays[key][[*steps, steps[-1] + 1]], key)
            assert run.end_stamp_ns == arrays["stamp_ns"][steps[-1] + 1]
            np.testing.assert_array_equal(run.steps["terminated"], arrays["terminated"][steps])
            ends = run.steps["terminated"] | run.steps["truncated"]
            assert ends.tolist() == [False] * (len(steps) - 1) + [True]
            assert not (run.steps["terminated"] & run.steps["truncated"]).any()
            for column, table, own in (
                ("policy_version", episodes.policy_versions, episode.header.policy_versions),
                ("reward_source", episodes.reward_sources, episode.header.reward_sources),
            ):
                names = [own[i] if i >= 0 else None for i in arrays[column][steps]]
                assert [table[i] if i >= 0 else None for i in run.steps[column]] == names
    assert at == len(runs) == episodes.counts.runs > len(folders)


def test_counts_say_what_was_left_out(folders: list[Path]) -> None:
    episodes = open_episodes(folders)
    runs = list(episodes.runs())
    loaded = [load_episode(folder) for folder in folders]
    counts = episodes.counts
    assert counts.steps == sum(e.header.steps for e in loaded)
    assert counts.exported == sum(run.length for run in runs)
    assert counts.dropped_without_action == counts.steps - counts.exported > 0
    assert counts.dropped_without_action == sum(
        e.header.counts["executed_missing"] for e in loaded
    )
    assert counts.cuts_at_gap > 0
    list(episodes.runs())
    assert episodes.counts == counts  # a second reading does not count twice


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=40))
def test_bounds_are_those_of_a_plain_search(rows: list[tuple[bool, bool]]) -> None:
    acted = np.array([a for a, _ in rows])
    late = np.array([b for _, b in rows[1:]], dtype=np.bool_)
    expected: list[tuple[int, int]] = []
    for step in range(len(rows)):
        if acted[step]:
            if expected and expected[-1][1] == step and not late[step - 1]:
                expected[-1] = (expected[-1][0], step + 1)
            else:
                expected.append((step, step + 1))
    assert source._bounds(acted, late) == expected


def test_the_shipped_contract_gives_names_and_units(folders: list[Path]) -> None:
    foreign = open_episodes(folders)
    assert foreign.contract is None and foreign.names("state") is None
    shipped = replace(foreign, contract=load_contract("franka_pick"))
    assert shipped.names("reference") == [
        "tool_x",
        "tool_y",
        "tool_z",
        "tool_yaw",
        "gripper_width",
    ]
    assert shipped.units("reference") == shipped.action_units() == ["m", "m", "m", "rad", "m"]


def _changed(folder: Path, out: Path, **values: object) -> Path:
    """A copy whose header says something else."""
    shutil.copytree(folder, out)
    header = json.loads((out / "episode.json").read_text())
    (out / "episode.json").write_text(json.dumps(header | values))
    return out


def test_episodes_that_disagree_are_refused(folders: list[Path], tmp_path: Path) -> None:
    other = _changed(folders[1], tmp_path / "a", robot="another")
    with pytest.raises(InputError, match=r"has another robot than .*; export the two apart"):
        open_episodes([folders[0], other])
    other = _changed(folders[1], tmp_path / "b", contract_sha256="0" * 64)
    with pytest.raises(InputError, match="has another contract_sha256 than"):
        open_episodes([folders[0], other])
    with pytest.raises(InputError, match=r"is the episode of .* again; give it once"):
        open_episodes([folders[0], folders[0]])
    with pytest.raises(InputError, match="none are given"):
        open_episodes([])
    with pytest.raises(LayoutError, match="convert the episode's bag again"):
        open_episodes([_changed(folders[1], tmp_path / "c", replay=1)])


def test_an_array_that_not_all_have_is_named(folders: list[Path], tmp_path: Path) -> None:
    assert open_episodes(folders).left_out == []
    other = _changed(folders[1], tmp_path / "a", privileged_names=["x", "y", "z"])
    episodes = open_episodes([folders[0], other])
    assert episodes.left_out == ["privileged"]
    assert "privileged" not in episodes.kinds


def test_a_changed_episode_is_noticed(folders: list[Path], tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folders[0], copy)
    episodes = open_episodes([copy])
    (copy / "reward.npy").write_bytes((copy / "reward.npy").read_bytes()[:-1] + b"!")
    with pytest.raises(InputError, match=r"reward.npy: .*damaged"):
        list(episodes.runs())


def test_tables_of_several_episodes_become_one(folders: list[Path], tmp_path: Path) -> None:
    own = load_episode(folders[1]).header
    assert len(own.policy_versions) > 1 and len(own.reward_sources) > 1
    other = _changed(
        folders[1],
        tmp_path / "a",
        policy_versions=own.policy_versions[::-1],
        reward_sources=["a person", *own.reward_sources[1:]],
    )
    episodes = open_episodes([folders[0], other])
    arrays = load_episode(other).transitions
    found = [run for run in episodes.runs() if run.source == 1]
    versions = own.policy_versions[::-1]
    sources = ["a person", *own.reward_sources[1:]]
    for run in found:
        rows = slice(run.first_step, run.first_step + run.length)
        named = [episodes.policy_versions[i] for i in run.steps["policy_version"]]
        assert named == [versions[i] for i in arrays.policy_version[rows]]
        given = [episodes.reward_sources[i] if i >= 0 else "" for i in run.steps["reward_source"]]
        assert given == [sources[i] if i >= 0 else "" for i in arrays.reward_source[rows]]
