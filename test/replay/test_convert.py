from __future__ import annotations

import json
import os
import shutil
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.replay import convert
from vla_rl_nodes.replay.convert import build_episode, convert_episode
from vla_rl_nodes.replay.episode import load_episode

from .episode_bag import EVENT, MS, SIM_NAMES, Episode, Message, ending, event, make_episode
from .plain_search import truth, values_of

OUTCOMES = ("success", "failure", "timeout", "aborted")


@pytest.mark.parametrize("outcome", OUTCOMES)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_every_array_is_what_a_plain_search_finds(tmp_path: Path, seed: int, outcome: str) -> None:
    episode = make_episode(seed, seconds=2.0, outcome=outcome)
    folder = convert_episode(episode.write(tmp_path / "bag"), episode.contract, tmp_path / "out")
    assert folder == tmp_path / "out" / episode.episode_id
    data = load_episode(folder)
    expected = truth(episode)
    arrays = data.transitions.arrays()
    assert set(arrays) == set(expected)
    for name, array in arrays.items():
        np.testing.assert_array_equal(array, np.asarray(expected[name]), err_msg=name)
    header = data.header
    assert header.outcome == outcome and header.reason == "because"
    assert (header.seed, header.task, header.robot) == (41, "pick", "fr3")
    assert header.privileged_names == SIM_NAMES
    assert header.reward_sources == ["sim/predicate"]
    assert header.policy_versions == ["v1", "v2"]
    assert header.steps == len(expected["reward"])
    counts = header.counts
    assert counts["ticks"] == len(episode.ticks) and counts["ticks_repeated"] == 1
    assert counts["executed_missing"] == np.isnan(expected["action_executed"][:, 0]).sum() > 0
    assert counts["reward_missing"] == np.isnan(expected["reward"]).sum() > 0
    assert counts["after_end"] == sum(t >= episode.end_ns for t in episode.ticks) > 0
    before_end = [t for t in episode.ticks if t < episode.end_ns]
    blind = sum(t not in episode.live for t in before_end)
    assert counts["dropped_not_built_live"] == blind > 0
    stamps = expected["stamp_ns"]
    assert counts["gaps"] == sum(b - a > 75 * MS for a, b in pairwise(stamps))
    # The scenario must really hold what this test is about.
    assert any(expected["rule_differs"]) and any(expected["intervened"])
    assert np.isfinite(expected["chunk"]).any() and np.isnan(expected["privileged"][0]).all()


def test_real_image_sizes_convert_the_same_way(tmp_path: Path) -> None:
    episode = make_episode(9, seconds=1.0, contract=load_contract("franka_pick"))
    data = build_episode(episode.write(tmp_path / "bag"), episode.contract)
    expected = truth(episode)
    for key in ("image_scene", "image_wrist"):
        assert data.transitions.observations[key].shape[1:] == (64, 64, 3)
        np.testing.assert_array_equal(data.transitions.observations[key], expected[key])


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**31), outcome=st.sampled_from(OUTCOMES))
def test_conversion_is_the_same_every_time_and_never_sees_the_future(
    tmp_path_factory: pytest.TempPathFactory, seed: int, outcome: str
) -> None:
    tmp_path = tmp_path_factory.mktemp("det")
    episode = make_episode(seed, seconds=0.8, outcome=outcome)
    bag = episode.write(tmp_path / "bag")
    one = convert_episode(bag, episode.contract, tmp_path / "one")
    two = convert_episode(bag, episode.contract, tmp_path / "elsewhere" / "two")
    files = sorted(p.name for p in one.iterdir())
    assert files == sorted(p.name for p in two.iterdir())
    for name in files:
        assert (one / name).read_bytes() == (two / name).read_bytes(), name
    steps = load_episode(one).transitions
    by_value = {
        stream.key: {
            convert.content_sha256({"x": value}): stamp
            for stamp, value in values_of(episode, stream).items()
        }
        for stream in episode.contract.streams
    }
    for key, array in steps.observations.items():
        for row, at in zip(array, steps.stamp_ns, strict=True):
            assert by_value[key][convert.content_sha256({"x": row})] <= at
    assert steps.terminated.sum() + steps.truncated.sum() == 1


def test_files_hold_no_path_and_no_time_of_conversion(tmp_path: Path) -> None:
    episode = make_episode(4, seconds=0.8)
    bag = episode.write(tmp_path / "a-telling-name")
    folder = convert_episode(bag, episode.contract, tmp_path / "out")
    header = json.loads((folder / "episode.json").read_text())
    assert "a-telling-name" not in (folder / "episode.json").read_text()
    assert header["bag_sha256"] == json.loads((bag / "manifest.json").read_text())["sha256"]
    assert set(header["files"]) == {p.stem for p in folder.glob("*.npy")}
    assert folder.stat().st_mode & 0o777 == 0o755
    assert [p.name for p in (tmp_path / "out").iterdir()] == [episode.episode_id]


def test_repeating_a_conversion_changes_nothing(tmp_path: Path) -> None:
    episode = make_episode(5, seconds=0.8)
    bag = episode.write(tmp_path / "bag")
    folder = convert_episode(bag, episode.contract, tmp_path / "out")
    before = {p.name: (p.stat().st_ino, p.stat().st_mtime_ns) for p in folder.iterdir()}
    assert convert_episode(bag, episode.contract, tmp_path / "out") == folder
    assert before == {p.name: (p.stat().st_ino, p.stat().st_mtime_ns) for p in folder.iterdir()}
    (folder / "reward.npy").write_bytes(b"damaged since")
    with pytest.raises(InputError, match="exists with other content; remove it"):
        convert_episode(bag, episode.contract, tmp_path / "out")


def test_another_episode_of_the_same_name_is_not_overwritten(tmp_path: Path) -> None:
    first, second = make_episode(6, seconds=0.8), make_episode(7, seconds=0.8)
    second.episode_id = first.episode_id
    second = _renamed(second, "ep-7", first.episode_id)
    folder = convert_episode(first.write(tmp_path / "a"), first.contract, tmp_path / "out")
    before = (folder / "episode.json").read_bytes()
    with pytest.raises(InputError, match="exists with other content"):
        convert_episode(second.write(tmp_path / "b"), second.contract, tmp_path / "out")
    assert (folder / "episode.json").read_bytes() == before


def _renamed(episode: Episode, old: str, new: str) -> Episode:
    for m in episode.messages:
        if m.type_name == EVENT:
            for entry in m.body.status[0].values:
                if entry.key == "episode_id" and entry.value == old:
                    object.__setattr__(entry, "value", new)
    return episode


def test_a_failure_while_writing_leaves_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    episode = make_episode(8, seconds=0.8)
    bag = episode.write(tmp_path / "bag")
    real = Path.write_bytes
    written = []

    def fails(self: Path, data: bytes) -> int:
        written.append(self.name)
        if len(written) == 5:
            raise OSError(28, os.strerror(28))
        return real(self, data)

    monkeypatch.setattr(Path, "write_bytes", fails)
    with pytest.raises(InputError, match=r"cannot be written \(no space left on device\)"):
        convert_episode(bag, episode.contract, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []
    monkeypatch.undo()
    assert load_episode(convert_episode(bag, episode.contract, tmp_path / "out"))


def test_without_samples_at_the_end_the_last_step_is_dropped(tmp_path: Path) -> None:
    episode = make_episode(11, seconds=1.5)
    before = [t for t in episode.ticks if t < episode.end_ns]
    cut = before[-1] + 1
    # The state falls silent behind the last tick, and the end comes long after it.
    topic = next(s.topic for s in episode.contract.streams if s.key == "state")
    episode.messages = [
        m for m in episode.messages
        if not (m.topic == topic and m.stamp_ns >= cut) and m.topic != "episode/state"
    ]  # fmt: skip
    episode.end_ns = cut + 150 * MS
    silent = [t for t in episode.ticks if cut <= t < episode.end_ns]
    episode.ticks = [t for t in episode.ticks if t not in silent]
    episode.messages = [
        m for m in episode.messages if not (m.topic == "policy/status" and m.stamp_ns in silent)
    ]
    values = {
        "episode_id": episode.episode_id, "contract_sha256": episode.contract.sha256,
        "seed": "-1",
    }  # fmt: skip
    episode.messages.append(
        Message("episode/state", EVENT, episode.end_ns, episode.end_ns + MS,
                event(episode.end_ns, "success", values))
    )  # fmt: skip
    data = build_episode(episode.write(tmp_path / "bag"), episode.contract)
    expected = truth(episode)
    steps = data.transitions
    assert data.header.counts["dropped_last"] == 1 and data.header.seed is None
    assert steps.stamp_ns.tolist() == expected["stamp_ns"]
    assert len(steps.reward) == len(expected["stamp_ns"]) - 1
    # The success lies behind what is left: the record ends there, the task did not.
    assert not steps.terminated.any()
    assert steps.truncated.tolist() == [False] * (len(steps.reward) - 1) + [True]
    np.testing.assert_array_equal(steps.observations["state"], expected["state"])


def test_a_tick_at_the_very_end_makes_no_step(tmp_path: Path) -> None:
    episode = make_episode(18, seconds=1.0)
    at = [t for t in episode.ticks if t in episode.live][-2]
    old = ending(episode)
    values = {entry.key: entry.value for entry in old.body.status[0].values}
    episode.messages.remove(old)
    episode.messages.append(
        Message("episode/state", EVENT, at, at + MS, event(at, "failure", values))
    )
    episode.end_ns, episode.outcome = at, "failure"
    data = build_episode(episode.write(tmp_path / "bag"), episode.contract)
    assert data.transitions.stamp_ns.tolist() == truth(episode)["stamp_ns"]
    assert data.transitions.stamp_ns[-1] == at > data.transitions.stamp_ns[-2]
    assert data.transitions.terminated.tolist()[-1:] == [True]


def test_samples_that_were_not_recorded_drop_their_ticks(tmp_path: Path) -> None:
    episode = make_episode(12, seconds=1.0)
    topic = episode.contract.streams[0].topic
    lost = {episode.live[t][0]["image_scene"] for t in episode.ticks[2:6] if t in episode.live}
    episode.messages = [
        m for m in episode.messages if not (m.topic == topic and m.stamp_ns in lost)
    ]
    data = build_episode(episode.write(tmp_path / "bag"), episode.contract)
    gone = [
        t for t, (stamps, _) in episode.live.items()
        if stamps["image_scene"] in lost and t < episode.end_ns
    ]  # fmt: skip
    assert data.header.counts["dropped_sample_not_recorded"] == len(gone) > 0
    assert not set(gone) & set(data.transitions.stamp_ns.tolist())


def test_a_tick_that_claims_a_future_sample_is_dropped(tmp_path: Path) -> None:
    episode = make_episode(13, seconds=0.8)
    tick = next(t for t in episode.ticks[1:] if t in episode.live)
    topic = next(s.topic for s in episode.contract.streams if s.key == "state")
    later = next(m.stamp_ns for m in episode.on(topic) if m.stamp_ns > tick)
    for m in episode.on("policy/status"):
        if m.stamp_ns == tick:
            for entry in m.body.status[0].values:
                if entry.key == "stamp.state":
                    object.__setattr__(entry, "value", str(later))
    data = build_episode(episode.write(tmp_path / "bag"), episode.contract)
    assert data.header.counts["dropped_sample_after_tick"] == 1
    assert tick not in data.transitions.stamp_ns


def test_any_namespace_converts_to_the_same_content(tmp_path: Path) -> None:
    episode = make_episode(17, seconds=0.6)
    hashes = set()
    for number, namespace in enumerate(("", "/fr3", "/cell_2/left")):
        bag = episode.write(tmp_path / str(number), namespace)
        hashes.add(build_episode(bag, episode.contract).header.content_sha256)
        shutil.rmtree(bag)
    assert len(hashes) == 1
