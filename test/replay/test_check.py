from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.replay import check
from vla_rl_nodes.replay.check import check_parity, check_repeat
from vla_rl_nodes.replay.convert import build_episode

from .episode_bag import EVENT, Message, event, make_episode


def test_an_untouched_bag_rebuilds_every_hash(tmp_path: Path) -> None:
    episode = make_episode(41, seconds=1.5)
    report = check_parity(episode.write(tmp_path / "bag"), episode.contract)
    hashed = sum("observation_sha256" in v for v in episode.status_values.values())
    assert report.ticks == len(episode.ticks)
    assert (report.matched, report.differing) == (hashed, 0)
    assert report.unhashed == len(episode.live) - hashed > 0
    assert report.unbuilt == {
        "not_built_live": len(episode.ticks) - len(episode.live),
        "sample_not_recorded": 0,
        "sample_after_tick": 0,
    }
    assert report.rule_differs > 0 and report.first_difference_ns is None
    assert report.holds


@pytest.mark.parametrize("seed", [42, 43])
def test_one_changed_pixel_is_found_and_dated(tmp_path: Path, seed: int) -> None:
    episode = make_episode(seed, seconds=1.0)
    hashed = [t for t in episode.ticks if "observation_sha256" in episode.status_values[t]]
    tick = hashed[len(hashed) // 2]
    stamp = episode.live[tick][0]["image_scene"]
    topic = episode.contract.streams[0].topic
    body = next(m.body for m in episode.on(topic) if m.stamp_ns == stamp)
    data = np.array(body.data)
    data[5] ^= 1
    object.__setattr__(body, "data", data)
    users = [t for t in hashed if episode.live[t][0]["image_scene"] == stamp]
    report = check_parity(episode.write(tmp_path / "bag"), episode.contract)
    assert report.differing == len(users) >= 1
    assert report.first_difference_ns == users[0]
    assert report.matched == len(hashed) - len(users)
    assert not report.holds


def test_a_bag_without_hashes_proves_nothing(tmp_path: Path) -> None:
    episode = make_episode(44, seconds=0.6)
    for m in episode.on("policy/status"):
        for entry in m.body.status[0].values:
            if entry.key == "observation_sha256":
                object.__setattr__(entry, "value", "")
    report = check_parity(episode.write(tmp_path / "bag"), episode.contract)
    assert report.matched == 0 and report.unhashed == len(episode.live)
    assert not report.holds


def test_parity_needs_no_outcome(tmp_path: Path) -> None:
    episode = make_episode(45, seconds=0.6)
    episode.messages = [m for m in episode.messages if m.topic != "episode/state"]
    assert check_parity(episode.write(tmp_path / "bag"), episode.contract).holds


def test_conversion_repeats_to_the_byte(tmp_path: Path) -> None:
    episode = make_episode(46, seconds=0.6)
    bag = episode.write(tmp_path / "bag")
    report = check_repeat(bag, episode.contract)
    arrays = build_episode(bag, episode.contract).transitions.arrays()
    assert report.files == len(arrays) + 1 and report.differing == []


def test_a_conversion_that_does_not_repeat_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    episode = make_episode(47, seconds=0.6)
    bag = episode.write(tmp_path / "bag")
    real = check.convert_episode
    calls = []

    def unsteady(*arguments: object) -> Path:
        folder = real(*arguments)  # type: ignore[arg-type]
        calls.append(folder)
        if len(calls) == 2:
            (folder / "reward.npy").write_bytes(b"other")
            (folder / "delay.npy").unlink()
        return folder

    monkeypatch.setattr(check, "convert_episode", unsteady)
    assert check_repeat(bag, episode.contract).differing == ["delay.npy", "reward.npy"]


def test_what_is_no_episode_is_one_line(tmp_path: Path) -> None:
    episode = make_episode(48, seconds=0.4)
    episode.messages = [
        Message("other", EVENT, 5, 6, event(5, "x", {})),
    ]
    with pytest.raises(InputError, match="holds no policy/status"):
        check_parity(episode.write(tmp_path / "bag"), episode.contract)
    with pytest.raises(InputError, match="does not exist"):
        check_parity(tmp_path / "none", episode.contract)
