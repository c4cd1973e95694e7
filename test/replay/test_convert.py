from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from vla_rl_nodes.contract.load import load_contract
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.replay import folder
from vla_rl_nodes.replay.convert import build_episode, convert_episode
from vla_rl_nodes.replay.episode import content_sha256, load_episode

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
    assert header.reward_sources == ["operator", "sim/predicate"]
    assert header.interventions == sum(expected["intervention_start"]) > 0
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
    assert set(expected["reward_source"]) == {-1, 0, 1}
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
            content_sha256({"x": value}): stamp
            for stamp, value in values_of(episode, stream).items()
        }
        for stream in episode.contract.streams
    }
    for key, array in steps.observations.items():
        for row, at in zip(array, steps.stamp_ns, strict=True):
            assert by_value[key][content_sha256({"x": row})] <= at
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
    real = folder._write
    written = []

    def fails(path: Path, array: np.ndarray) -> None:
        written.append(path.name)
        if len(written) == 5:
            raise OSError(28, os.strerror(28))
        real(path, array)

    monkeypatch.setattr(folder, "_write", fails)
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


def test_the_header_says_what_the_bag_says_of_the_episode(tmp_path: Path) -> None:
    episode = make_episode(21, seconds=0.8)
    episode.metadata = {
        "operator": "Ada", "reset_mode": "by hand", "goal": "der rote Würfel",
        "task": "pick", "robot": "fr3", "seed": "41", "contract": episode.contract.name,
    }  # fmt: skip
    header = build_episode(episode.write(tmp_path / "bag"), episode.contract).header
    assert header.metadata == {"operator": "Ada", "reset_mode": "by hand"}
    assert (header.goal, header.task) == ("der rote Würfel", "pick")
    assert header.salvaged_from is None and header.start_state == "observation"
    assert (
        header.interventions
        == build_episode(tmp_path / "bag", episode.contract).transitions.intervention_start.sum()
    )


def test_what_the_episode_says_is_its_goal_comes_before_the_bags_metadata(tmp_path: Path) -> None:
    episode = make_episode(21, seconds=0.8)
    episode.metadata = {"goal": "from the metadata"}
    values = {entry.key: entry.value for entry in ending(episode).body.status[0].values}
    values |= {"goal": "from the episode", "reset_mode": "told"}
    body = event(episode.end_ns, episode.outcome, values)
    episode.messages.remove(ending(episode))
    episode.messages.append(Message("episode/state", EVENT, episode.end_ns, episode.end_ns, body))
    header = build_episode(episode.write(tmp_path / "bag"), episode.contract).header
    assert header.goal == "from the episode" and header.metadata == {"reset_mode": "told"}


def test_a_salvaged_bag_says_so_and_is_truncated_where_it_was_cut(tmp_path: Path) -> None:
    episode = make_episode(22, seconds=1.2, outcome="success")
    whole = build_episode(episode.write(tmp_path / "whole"), episode.contract)
    cut = episode.ticks[-10] + 1
    episode.messages = [m for m in episode.messages if m.arrival_ns < cut]
    episode.outcome, episode.metadata = "aborted", {"salvaged_from": "ab" * 32}
    data = build_episode(episode.write(tmp_path / "bag"), episode.contract)
    header, steps = data.header, data.transitions
    assert header.salvaged_from == "ab" * 32 and header.metadata == {}
    assert (header.outcome, header.reason) == ("aborted", "the recording was cut off")
    assert (header.task, header.seed, header.robot) == ("pick", 41, "fr3")
    assert steps.truncated[-1] and not steps.terminated.any()
    # What is left of it is the same as in the whole bag.
    kept = len(steps.reward)
    assert 5 < kept < len(whole.transitions.reward)
    for name in ("stamp_ns", "state", "image_scene"):
        one, two = (d.transitions.arrays()[name][:kept] for d in (data, whole))
        np.testing.assert_array_equal(one, two)
    last = max(m.stamp_ns for m in episode.on("policy/status"))
    assert steps.stamp_ns[-1] == last and steps.stamp_ns[-2] < last


def test_an_episode_of_an_older_layout_is_refused_with_the_remedy(tmp_path: Path) -> None:
    episode = make_episode(23, seconds=0.6)
    bag = episode.write(tmp_path / "bag")
    folder = convert_episode(bag, episode.contract, tmp_path / "out")
    header = json.loads((folder / "episode.json").read_text())
    new = {"goal", "interventions", "start_state", "start_state_sha256", "salvaged_from",
           "metadata"}  # fmt: skip
    for name in ("intervention_start", "intervention_end", "reward_source"):
        (folder / f"{name}.npy").unlink()
        del header["files"][name]
    old = {key: value for key, value in header.items() if key not in new} | {"replay": 1}
    (folder / "episode.json").write_text(json.dumps(old))
    for act in (
        lambda: load_episode(folder),
        lambda: convert_episode(bag, episode.contract, tmp_path / "out"),
    ):
        with pytest.raises(InputError) as caught:
            act()
        assert str(caught.value) == (
            f"{folder}: has replay layout 1, not 2; remove it and convert the episode's bag again"
        )
    shutil.rmtree(folder)
    assert load_episode(convert_episode(bag, episode.contract, tmp_path / "out")).header
    header["replay"] = 3
    (folder / "episode.json").write_text(json.dumps(header))
    with pytest.raises(InputError, match="layout 3, not 2; read it with the version that conv"):
        load_episode(folder)


def test_every_process_on_every_machine_gives_the_same_bytes(tmp_path: Path) -> None:
    episode = make_episode(24, seconds=0.8)
    episode.metadata = {"operator": "Ada", "goal": "der rote Würfel", "z": "1", "a": "2"}
    bag = episode.write(tmp_path / "bag")
    contract = tmp_path / "small.yaml"
    contract.write_text(yaml.safe_dump(episode.contract.model_dump(mode="json", by_alias=True)))
    machines = [
        ({"PYTHONHASHSEED": "0", "TZ": "UTC", "LC_ALL": "C.UTF-8"}, tmp_path, bag),
        ({"PYTHONHASHSEED": "1", "TZ": "Pacific/Auckland", "LC_ALL": "C", "PYTHONUTF8": "0",
          "PYTHONCOERCECLOCALE": "0"}, tmp_path / "bag", Path("../bag")),
        ({"PYTHONHASHSEED": "4711", "TZ": "America/St_Johns", "LC_ALL": "tr_TR.UTF-8",
          "LANG": "tr_TR.UTF-8", "OMP_NUM_THREADS": "2"}, Path("/"), bag),
    ]  # fmt: skip
    running = [
        subprocess.Popen(
            [sys.executable, "-m", "vla_rl_nodes.cli", "replay", "convert", str(given), "--out",
             str(tmp_path / f"out{number}"), "--contract", str(contract)],
            env={**os.environ, **changes}, cwd=folder, stderr=subprocess.PIPE, text=True,
            stdout=subprocess.DEVNULL,
        ) for number, (changes, folder, given) in enumerate(machines)
    ]  # fmt: skip
    for process in running:
        _, said = process.communicate(timeout=120)
        assert process.returncode == 0, said
    here = convert_episode(bag, episode.contract, tmp_path / "here")
    expected = {p.name: p.read_bytes() for p in here.iterdir()}
    assert len(expected) == 28  # 27 arrays and their description
    for number in range(len(machines)):
        folder = tmp_path / f"out{number}" / episode.episode_id
        assert {p.name: p.read_bytes() for p in folder.iterdir()} == expected
