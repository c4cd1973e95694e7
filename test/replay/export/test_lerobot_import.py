from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.contract.transforms import transform_image
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.replay.episode import EpisodeData, load_episode
from vla_rl_nodes.replay.export.lerobot_import import LeRobotImport
from vla_rl_nodes.replay.export.lerobot_read import LeRobotFolder
from vla_rl_nodes.replay.export.lerobot_write import write_lerobot
from vla_rl_nodes.replay.export.mapping import Mapping, plan
from vla_rl_nodes.replay.export.source import open_episodes
from vla_rl_nodes.replay.folder import write_episode

from ..episode_bag import START_NS
from .plain_dataset import joint_contract, mapping_data, write_plain
from .plain_runs import plain_runs


def imported(folder: Path, contract: Contract, mapping: Any = None) -> list[EpisodeData]:
    dataset = LeRobotFolder(folder)
    given = Mapping.model_validate(mapping or {"mapping": 1})
    found = list(LeRobotImport(dataset, plan(dataset, contract, given)).episodes())
    for episode in found:
        if isinstance(episode, InputError):
            raise episode
    return found  # type: ignore[return-value]


def test_what_was_converted_and_exported_comes_back(
    folders: list[Path], small: Contract, tmp_path: Path
) -> None:
    write_lerobot(open_episodes(folders), tmp_path / "dataset", "png")
    found = imported(tmp_path / "dataset", small)
    at = 0
    for folder in folders:
        original = load_episode(folder)
        arrays = original.transitions.arrays()
        runs = plain_runs(original)
        for number, steps in enumerate(runs):
            episode = found[at]
            at += 1
            assert load_episode(write_episode(episode, tmp_path / "replay")).header == (
                episode.header
            )
            header, back = episode.header, episode.transitions.arrays()
            assert set(back) == set(arrays)
            for name, array in back.items():
                rows = [*steps, steps[-1] + 1] if len(array) > len(steps) else steps
                expected = arrays[name][rows]
                if name == "truncated":
                    expected = expected.copy()
                    expected[-1] |= not arrays["terminated"][steps[-1]]
                if name == "policy_version":
                    names = [original.header.policy_versions[i] for i in expected]
                    assert [header.policy_versions[i] for i in array] == names
                elif name == "reward_source":
                    names = [original.header.reward_sources[i] if i >= 0 else "" for i in expected]
                    assert [header.reward_sources[i] if i >= 0 else "" for i in array] == names
                else:
                    assert array.dtype == expected.dtype
                    assert array.tobytes() == expected.tobytes(), name
            last = number == len(runs) - 1 and steps[-1] == original.header.steps - 1
            assert header.outcome == (original.header.outcome if last else "aborted")
            assert header.bag_sha256 is None and header.start_state is None
            assert header.privileged_names == original.header.privileged_names
            assert header.metadata["source_episode_id"] == original.header.episode_id
            assert header.metadata["source_first_step"] == str(steps[0])
            assert (header.task, header.robot) == (original.header.task, "fr3")
    assert at == len(found)


def test_a_whole_episode_comes_back_with_its_content_hash(
    folders: list[Path], small: Contract, tmp_path: Path
) -> None:
    write_lerobot(open_episodes(folders), tmp_path / "one", "png")
    first = imported(tmp_path / "one", small)
    again = [write_episode(episode, tmp_path / "replay") for episode in first]
    write_lerobot(open_episodes(again), tmp_path / "two", "png")
    second = imported(tmp_path / "two", small)
    assert [e.header.content_sha256 for e in second] == [e.header.content_sha256 for e in first]
    assert [e.header.episode_id for e in second] == [e.header.episode_id for e in first]
    assert {e.header.outcome for e in first} > {"aborted"}
    # Writing the same again is no error, and changes nothing.
    for episode, folder in zip(first, again, strict=True):
        before = (folder / "episode.json").stat().st_mtime_ns
        assert write_episode(episode, tmp_path / "replay") == folder
        assert (folder / "episode.json").stat().st_mtime_ns == before
    (again[0] / "reward.npy").write_bytes(b"")
    with pytest.raises(InputError, match="exists with other content"):
        write_episode(first[0], tmp_path / "replay")


def test_jpeg_images_come_back_nearly(
    folders: list[Path], small: Contract, tmp_path: Path
) -> None:
    write_lerobot(open_episodes(folders[:1]), tmp_path / "dataset", "jpeg")
    runs = list(open_episodes(folders[:1]).runs())
    for episode, run in zip(imported(tmp_path / "dataset", small), runs, strict=True):
        found = episode.transitions.observations
        assert found["state"].tobytes() == run.observations["state"].tobytes()
        away = np.abs(found["image_scene"].astype(int) - run.observations["image_scene"])
        assert away.mean() < 12  # of pure noise


def test_another_program_s_dataset(small: Contract, tmp_path: Path) -> None:
    rewards = np.arange(12, dtype=np.float32)
    data = write_plain(tmp_path / "d", small, extra={"next.reward": rewards})
    found = imported(tmp_path / "d", small, mapping_data(small))
    assert [e.header.task for e in found] == ["push", "pull"]
    for episode, (start, stop) in zip(found, ((0, 7), (7, 12)), strict=True):
        steps = episode.transitions
        assert episode.header.steps == stop - start - 1  # the last action has no successor
        assert episode.header.counts["dropped_last"] == 1
        rows = slice(start, stop)
        # By name: the dataset's columns stand the other way round.
        state = data["observation.state"][rows, :0:-1]
        np.testing.assert_array_equal(steps.observations["state"], state)
        np.testing.assert_array_equal(
            steps.observations["image_wrist"], data["observation.images.wrist"][rows]
        )
        np.testing.assert_array_equal(steps.action_executed, data["action"][rows][:-1])
        np.testing.assert_array_equal(steps.reward, rewards[rows][:-1])
        assert steps.stamp_ns.tolist() == [i * 50_000_000 for i in range(stop - start)]
        assert np.isnan(steps.action_proposed).all() and not steps.intervened.any()
        assert not steps.terminated.any() and steps.truncated.tolist()[-1]
        assert episode.header.outcome == "aborted"
        assert episode.header.reason == "the dataset names no outcome"
        assert (episode.header.policy_versions, episode.header.reward_sources) == (
            ["unknown"], ["dataset"],
        )  # fmt: skip
        write_episode(episode, tmp_path / "replay")


def test_success_is_told_by_the_dataset_or_the_mapping(small: Contract, tmp_path: Path) -> None:
    success = np.zeros(12, dtype=np.bool_)
    success[6] = True
    write_plain(tmp_path / "d", small, extra={"next.success": success})
    first, second = imported(tmp_path / "d", small, mapping_data(small))
    # The flag is on the last frame, whose action is left out: it is the episode's all the same.
    assert (first.header.outcome, second.header.outcome) == ("success", "aborted")
    assert first.transitions.truncated[-1] and not first.transitions.terminated.any()
    told = imported(tmp_path / "d", small, {**mapping_data(small), "outcome": "failure"})
    assert told[1].header.outcome == "failure" and told[1].header.reason == "from a mapping"


def test_without_rewards_they_are_not_made_up(small: Contract, tmp_path: Path) -> None:
    write_plain(tmp_path / "d", small)
    episode = imported(tmp_path / "d", small, mapping_data(small))[0]
    assert np.isnan(episode.transitions.reward).all()
    assert (episode.transitions.reward_source == -1).all()
    assert episode.header.reward_sources == []
    assert episode.header.counts["reward_missing"] == episode.header.steps


def test_of_absolute_actions_frames_may_be_left_out(small: Contract, tmp_path: Path) -> None:
    contract = joint_contract(small)
    rewards = np.arange(20, dtype=np.float32)
    data = write_plain(
        tmp_path / "d", contract, fps=60, lengths=(11, 9), extra={"next.reward": rewards}
    )
    found = imported(tmp_path / "d", contract, mapping_data(contract))
    for episode, (start, stop) in zip(found, ((0, 11), (11, 20)), strict=True):
        steps = episode.transitions
        kept = list(range(start, stop, 3))
        assert episode.header.steps == len(kept) - 1
        np.testing.assert_array_equal(steps.action_executed, data["action"][kept[:-1]])
        np.testing.assert_array_equal(
            steps.observations["image_scene"], data["observation.images.scene"][kept]
        )
        # Of the rewards during a step the newest counts.
        assert steps.reward.tolist() == [rewards[i + 2] for i in kept[:-1]]
        assert steps.stamp_ns.tolist() == [i * 50_000_000 for i in range(len(kept))]
        counts = episode.header.counts
        left = counts["dropped_between_steps"] + counts["dropped_last"] + episode.header.steps
        assert left == stop - start == counts["ticks"]
        assert episode.header.metadata["source_frames_a_step"] == "3"


def test_images_of_the_camera_s_size_are_transformed(small: Contract, tmp_path: Path) -> None:
    data = write_plain(tmp_path / "d", small, size=(96, 128))
    episode = imported(tmp_path / "d", small, mapping_data(small))[1]
    stream = next(s for s in small.streams if s.key == "image_scene")
    expected = [transform_image(stream, i) for i in data["observation.images.scene"][7:]]
    np.testing.assert_array_equal(
        episode.transitions.observations["image_scene"], np.stack(expected)
    )


def test_actions_outside_of_the_contract_s_bounds_are_counted(
    small: Contract, tmp_path: Path
) -> None:
    data = write_plain(tmp_path / "d", small)
    low, high = small.action.minimum, small.action.maximum
    outside = ((data["action"] < low) | (data["action"] > high)).any(axis=1)
    assert outside.any()
    found = imported(tmp_path / "d", small, mapping_data(small))
    counts = [e.header.counts["action_outside_bounds"] for e in found]
    assert counts == [int(outside[:6].sum()), int(outside[7:11].sum())]


def test_our_own_arrays_are_not_believed_of_another_rate(
    folders: list[Path], small: Contract, tmp_path: Path
) -> None:
    write_lerobot(open_episodes(folders), tmp_path / "d", "png")
    shutil.rmtree(tmp_path / "d" / "vla_rl")
    dataset = LeRobotFolder(tmp_path / "d")
    given = Mapping.model_validate(_plain_mapping(small))
    found = list(LeRobotImport(dataset, plan(dataset, small, given)).episodes())
    episode = next(e for e in found if isinstance(e, EpisodeData))
    steps = episode.transitions
    assert np.isnan(steps.action_proposed).all() and steps.privileged is None
    assert int(steps.stamp_ns[0]) >= START_NS  # its stamps say when, whoever wrote them
    assert episode.header.policy_versions == ["unknown"]


def _plain_mapping(contract: Contract) -> dict[str, Any]:
    streams: dict[str, Any] = {}
    for stream in contract.streams:
        if stream.kind == "vector":
            quantities = [q for t in stream.transforms for q in (t.select or ())]
            streams[stream.key] = {
                "feature": f"observation.{stream.key}",
                "names": [q.name for q in quantities],
                "units": [q.unit for q in quantities],
            }
    units = [a.unit for a in contract.action.axes]
    return {"mapping": 1, "streams": streams, "action": {"feature": "action", "units": units}}


def test_one_bad_episode_keeps_no_other_away(small: Contract, tmp_path: Path) -> None:
    write_plain(tmp_path / "d", small, lengths=(7, 1, 5))
    dataset = LeRobotFolder(tmp_path / "d")
    given = Mapping.model_validate(mapping_data(small))
    found = list(LeRobotImport(dataset, plan(dataset, small, given)).episodes())
    assert [isinstance(e, InputError) for e in found] == [False, True, False]
    assert "episode 1 is too short for one step" in str(found[1])


def test_the_source_is_recorded(small: Contract, tmp_path: Path) -> None:
    write_plain(tmp_path / "d", small)
    metadata = imported(tmp_path / "d", small, mapping_data(small))[1].header.metadata
    assert metadata["source"] == "LeRobotDataset v3.0" and metadata["source_name"] == "d"
    assert metadata["source_episode"] == "1" and len(metadata["source_info_sha256"]) == 64
    assert json.loads((tmp_path / "d" / "meta" / "info.json").read_text())["fps"] == 20
