"""What judges said of an episode, late or in words, through a bag's conversion."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from vla_rl_nodes.replay.convert import build_episode, convert_episode
from vla_rl_nodes.replay.critique import MOST_BYTES
from vla_rl_nodes.replay.episode import EpisodeData, content_sha256, load_episode
from vla_rl_nodes.replay.store.store import EpisodeStore

from .episode_bag import MS, START_NS, Episode, criticise, make_episode, reward
from .test_held import held_episode


def slow_success(seed: int, late_ticks: int) -> tuple[Episode, int]:
    """An episode that a judge's success ended so many ticks after its capture, and that stamp."""
    episode = make_episode(seed, seconds=1.5)
    seen = [t for t in episode.ticks if t in episode.live and t < episode.end_ns]
    stamp = seen[-late_ticks] + MS
    # The scenario's own rewards come at random: of this judge the others were zeros.
    episode.messages = [m for m in episode.messages if m.topic != "reward"]
    for tick in episode.ticks:
        if tick < stamp:
            reward(episode, tick + 2 * MS if tick + 2 * MS < stamp else stamp - 1, 0.0, 0.0)
    reward(episode, stamp, 1.0, 1.0)
    return episode, stamp


@pytest.mark.parametrize("late_ticks", [1, 2, 7])
def test_the_success_of_a_slow_judge_is_in_the_row_that_terminates(
    tmp_path: Path, late_ticks: int
) -> None:
    episode, stamp = slow_success(25, late_ticks)
    criticise(episode, stamp, "done", "j", 5)
    criticise(episode, stamp - 1, "nearly", "j", 4)
    data = build_episode(episode.write(tmp_path / "bag"), episode.contract)
    steps = data.transitions
    assert steps.terminated.tolist() == [False] * (len(steps.reward) - 1) + [True]
    assert steps.reward[-1] == 1.0 and np.nansum(steps.reward) == 1.0
    row = int(np.searchsorted(steps.stamp_ns, stamp)) - 1
    assert row == len(steps.reward) - late_ticks
    if late_ticks > 1:
        assert steps.reward[row] == 0.0 and np.isnan(steps.reward[row + 1 : -1]).all()
    assert data.header.reward_sources == ["j"]
    assert (steps.reward_source == np.where(np.isnan(steps.reward), -1, 0)).all()
    last = len(steps.reward) - 1
    told = {c.text: c.step for c in data.header.critiques}
    assert told == {"done": last, "nearly": row}


def test_critiques_are_in_the_description_and_in_its_hash(tmp_path: Path) -> None:
    def converted(name: str, *texts: str) -> EpisodeData:
        episode = make_episode(26, seconds=0.8)
        for text in texts:
            criticise(episode, episode.ticks[4] + MS, text)
        bag = episode.write(tmp_path / name)
        return load_episode(convert_episode(bag, episode.contract, tmp_path / f"{name}-out"))

    plain, one, two = converted("a"), converted("b", "x"), converted("c", "x", "y\0\n🤖")
    assert plain.header.critiques == [] and [c.text for c in one.header.critiques] == ["x"]
    assert [c.text for c in two.header.critiques] == ["x", "y\0\n🤖"]
    assert plain.header.content_sha256 == content_sha256(plain.transitions.arrays())
    assert len({e.header.content_sha256 for e in (plain, one, two)}) == 3
    assert plain.header.files == two.header.files  # the arrays are the same
    assert "critiques_left_out" not in two.header.counts


def test_too_many_words_are_counted(tmp_path: Path) -> None:
    episode = make_episode(27, seconds=0.8)
    for _ in range(3):
        criticise(episode, episode.ticks[4] + MS, "x" * (MOST_BYTES // 2))
    data = build_episode(episode.write(tmp_path / "bag"), episode.contract)
    assert len(data.header.critiques) == 1
    assert data.header.counts["critiques_left_out"] == 2
    assert data.header.refused.get("reward/status") is None


def test_a_folder_of_before_there_were_critiques_is_the_same(tmp_path: Path) -> None:
    episode = make_episode(28, seconds=0.8, outcome="timeout")
    bag = episode.write(tmp_path / "bag")
    path = convert_episode(bag, episode.contract, tmp_path) / "episode.json"
    header = json.loads(path.read_text())
    assert header.pop("critiques") == []
    path.write_text(json.dumps(header))
    before = path.read_bytes()
    convert_episode(bag, episode.contract, tmp_path)
    assert path.read_bytes() == before


def test_what_was_said_while_it_was_held_is_of_no_step(tmp_path: Path) -> None:
    episode = held_episode(1, [(310, 530)])
    episode.messages = [m for m in episode.messages if m.topic != "reward"]
    begin, end = START_NS + 310 * MS, START_NS + 530 * MS
    before = max(t for t in episode.ticks if t in episode.live and t + MS < begin)
    # Told while it was paused, so it ended nothing; it goes on, and ends by another one.
    reward(episode, before + MS, 1.0, 1.0)
    after = min(t for t in episode.ticks if t in episode.live and t > end)
    reward(episode, after + MS, 2.0, 1.0)
    for stamp, text in ((before + MS, "early"), (begin + MS, "held"), (after + MS, "done")):
        criticise(episode, stamp, text)
    data = build_episode(episode.write(tmp_path / "bag"), episode.contract)
    steps, last = data.transitions, len(data.transitions.reward) - 1
    row = steps.stamp_ns.tolist().index(begin)
    assert steps.terminated[-1] and data.header.counts["breaks"] == 1
    assert [(c.text, c.step) for c in data.header.critiques] == [
        ("held", -1), ("early", row - 1), ("done", last),
    ]  # fmt: skip
    assert steps.reward[row - 1] == 1.0 and steps.reward[-1] == 2.0
    assert np.isnan(np.delete(steps.reward, [row - 1, last])).all()


def test_the_longest_words_fit_into_folder_and_store(tmp_path: Path) -> None:
    episode = make_episode(29, seconds=0.6)
    longest = "\x01" * (MOST_BYTES - 1000)  # six characters each in the description
    criticise(episode, episode.ticks[2] + MS, longest)
    bag = episode.write(tmp_path / "bag")
    data = load_episode(convert_episode(bag, episode.contract, tmp_path / "out"))
    assert data.header.critiques[0].text == longest
    with EpisodeStore(tmp_path / "store", writable=True) as store:
        assert store.append(data)
    again = EpisodeStore(tmp_path / "store").episode(data.header.episode_id)
    assert again.header == data.header
