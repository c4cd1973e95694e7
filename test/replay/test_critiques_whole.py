"""A critique's whole way: bag, conversion, store, export, and what is read there."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vla_rl_nodes.bags.salvage import salvage
from vla_rl_nodes.replay.check import check_repeat
from vla_rl_nodes.replay.convert import build_episode, convert_episode
from vla_rl_nodes.replay.export.lerobot_import import LeRobotImport
from vla_rl_nodes.replay.export.lerobot_read import LeRobotFolder
from vla_rl_nodes.replay.export.mapping import Mapping, plan
from vla_rl_nodes.replay.export.source import open_episodes
from vla_rl_nodes.replay.folder import write_episode
from vla_rl_nodes.replay.store.fill import append_folders, stored_episodes
from vla_rl_nodes.replay.store.store import EpisodeStore

from .episode_bag import MS, Episode, criticise, make_episode, small_contract
from .export.test_critiques import FORMATS, back, texts_in, write
from .spoken import HARD, codes, words

Said = tuple[int, str, str, int | None]  # stamp, words, source, code


def judged(seed: int, said: list[tuple[str, str, int | None]]) -> tuple[Episode, list[Said]]:
    """An episode of which two judges said all that, by turns and of step after step."""
    episode = make_episode(seed, seconds=1.2)
    ticks = [tick for tick in episode.ticks if tick in episode.live and tick < episode.end_ns]
    told = [
        (ticks[number // 2 % (len(ticks) - 1)] + MS, *entry) for number, entry in enumerate(said)
    ]
    for entry in told:
        criticise(episode, *entry)
    return episode, sorted(told, key=lambda entry: entry[0])


def test_from_a_bag_to_other_tools_not_a_byte_is_lost(tmp_path: Path) -> None:
    said = [(text, f"judge {n % 2}{text}", None if n % 3 else n) for n, text in enumerate(HARD)]
    episode, told = judged(41, said)
    bag = episode.write(tmp_path / "bag")
    assert check_repeat(bag, episode.contract).differing == []
    folder = convert_episode(bag, episode.contract, tmp_path / "replay")
    with EpisodeStore(tmp_path / "store", writable=True) as store:
        assert append_folders(store, [folder]) == 1 and append_folders(store, [folder]) == 0
    (stored,) = stored_episodes(EpisodeStore(tmp_path / "store"))
    again = write_episode(stored, tmp_path / "again")
    assert [(c.stamp_ns, c.text, c.source, c.code) for c in stored.header.critiques] == told
    steps = stored.transitions.stamp_ns
    for c in stored.header.critiques:
        assert steps[c.step] < c.stamp_ns <= steps[c.step + 1]
    runs = list(open_episodes([again]).runs())
    exported = [
        c for c in stored.header.critiques
        if any(run.first_step <= c.step < run.first_step + run.length for run in runs)
    ]  # fmt: skip
    assert len(exported) > len(told) // 2
    for form in FORMATS:
        write(form, open_episodes([again]), tmp_path / form)
        texts = texts_in(form, tmp_path / form)
        assert texts is not None
        found = [
            c for run, own in zip(runs, texts, strict=True) for c in back(own, run.first_step)
        ]
        assert found == exported
        assert [c.text.encode() for c in found] == [c.text.encode() for c in exported]
    dataset = LeRobotFolder(tmp_path / "lerobot")
    read = LeRobotImport(dataset, plan(dataset, episode.contract, Mapping(mapping=1)))
    whole = [c for e in read.episodes() for c in e.header.critiques]  # type: ignore[union-attr]
    assert [(c.text, c.source, c.code) for c in whole] == [
        (c.text, c.source, c.code) for c in exported
    ]


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(said=st.lists(st.tuples(words, words, codes), max_size=12))
def test_any_words_go_through_a_bag(
    tmp_path_factory: pytest.TempPathFactory, said: list[tuple[str, str, int | None]]
) -> None:
    place = tmp_path_factory.mktemp("bag")
    episode, told = judged(42, said)
    header = build_episode(episode.write(place / "bag"), small_contract()).header
    assert [(c.stamp_ns, c.text, c.source, c.code) for c in header.critiques] == told


def test_what_is_left_of_a_damaged_bag_says_what_was_said(tmp_path: Path) -> None:
    episode = make_episode(43, seconds=3.0)
    for number, tick in enumerate(episode.ticks):
        criticise(episode, tick, f"{number} {HARD[number % len(HARD)]}", code=number)
    bag = episode.write(tmp_path / "bag")
    whole = build_episode(bag, episode.contract).header.critiques
    file = bag / f"{episode.episode_id}.mcap"
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 4
    file.write_bytes(data)
    salvage(bag, tmp_path / "saved")
    saved = build_episode(tmp_path / "saved", episode.contract).header.critiques
    assert 10 < len(saved) <= len(whole)
    known = {(c.stamp_ns, c.text, c.code) for c in whole}
    assert {(c.stamp_ns, c.text, c.code) for c in saved} <= known
    with EpisodeStore(tmp_path / "store", writable=True) as store:
        store.append(build_episode(tmp_path / "saved", episode.contract))
    (stored,) = stored_episodes(EpisodeStore(tmp_path / "store"))
    assert stored.header.critiques == saved
