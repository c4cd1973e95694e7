"""Killed writers and cut files: a store reopens to the last committed episode."""

from __future__ import annotations

import os
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.replay.episode import EpisodeData
from vla_rl_nodes.replay.store import journal
from vla_rl_nodes.replay.store.lock import JOURNAL
from vla_rl_nodes.replay.store.store import EpisodeStore

from .made import Flaws, make, same

KILLS = 44
FLAWED = Flaws(0.2, 0.2, 0.1)


def episode(number: int) -> EpisodeData:
    return make(number % 17, 20 + 31 * (number % 17), FLAWED, f"kill-{number:05d}")


def ids(store: EpisodeStore) -> list[str]:
    return [stored.header.episode_id for stored in store.episodes]


def append_until_killed(folder: Path, first: int, pipe: int) -> None:
    """In a process of its own: a byte before and another one after each append."""
    with EpisodeStore(folder, writable=True) as store:
        number = first
        while True:
            made = episode(number)
            os.write(pipe, b"<")
            store.append(made)
            os.write(pipe, b">")
            number += 1


def test_killed_at_any_moment(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    for number in range(17):  # made before, so that the killed processes only append
        episode(number)
    EpisodeStore(folder, writable=True).close()
    reader = EpisodeStore(folder)
    random = np.random.default_rng(5)
    committed = 0
    torn = during = 0
    for _ in range(KILLS):
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                append_until_killed(folder, committed, write)
            finally:
                os._exit(1)
        os.close(write)
        told = os.read(read, 1)  # it is at work
        assert told == b"<"
        end = time.monotonic() + float(random.exponential(0.012))
        while time.monotonic() < end:
            reader.refresh()  # which must never see half an episode
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        while part := os.read(read, 65536):
            told += part
        os.close(read)
        acknowledged = committed + told.count(b">")
        during += told.endswith(b"<")
        with EpisodeStore(folder, writable=True) as store:
            torn += store.torn_bytes > 0
            held = len(store.episodes)
            assert acknowledged <= held <= acknowledged + 1
            assert ids(store) == [f"kill-{n:05d}-{n % 17:04d}" for n in range(held)]
            for number in range(committed, held):
                assert same(store.episode(ids(store)[number]), episode(number))
        reader.refresh()
        assert ids(reader) == ids(store)
        committed = held
    assert committed > 0 and during > KILLS // 4  # most of them died in the middle of one
    assert EpisodeStore(folder).verify() == []


@pytest.fixture
def three(tmp_path: Path) -> tuple[Path, list[EpisodeData], list[int]]:
    """A store of three episodes, and where each one's record ends in the journal."""
    episodes = [make(seed, 6, FLAWED) for seed in range(3)]
    ends = []
    with EpisodeStore(tmp_path / "s", writable=True) as store:
        for one in episodes:
            store.append(one)
            ends.append((tmp_path / "s" / JOURNAL).stat().st_size)
    return tmp_path / "s", episodes, ends


def test_journal_cut_anywhere(
    three: tuple[Path, list[EpisodeData], list[int]], tmp_path: Path
) -> None:
    folder, episodes, ends = three
    whole = (folder / JOURNAL).read_bytes()
    edges = {end + offset for end in (0, *ends) for offset in (-30, -1, 0, 1, 23, 24, 25)}
    for cut in sorted({c for c in edges if 0 <= c <= len(whole)} | set(range(0, len(whole), 997))):
        count = sum(end <= cut for end in ends)
        (folder / JOURNAL).write_bytes(whole[:cut])
        assert ids(EpisodeStore(folder)) == [e.header.episode_id for e in episodes[:count]]
        with EpisodeStore(folder, writable=True) as store:
            assert store.torn_bytes == cut - [0, *ends][count]
            assert (folder / JOURNAL).stat().st_size == [0, *ends][count]
            assert ids(store) == [e.header.episode_id for e in episodes[:count]]
            for one in episodes[count:]:
                assert store.append(one)
            assert all(same(store.episode(e.header.episode_id), e) for e in episodes)
        assert (folder / JOURNAL).read_bytes() == whole  # the same as if nothing had happened
    for cut in range(0, len(whole), 3):  # without the files around it
        (folder / JOURNAL).write_bytes(whole[:cut])
        found, _ = journal.read_records(folder / JOURNAL, 0, 0)
        assert max(len(found) - 1, 0) == sum(end <= cut for end in ends)


def test_journal_flipped_anywhere(three: tuple[Path, list[EpisodeData], list[int]]) -> None:
    folder, episodes, ends = three
    whole = (folder / JOURNAL).read_bytes()
    random = np.random.default_rng(3)
    opened = 0
    heads = {begin + offset for begin in (0, *ends) for offset in range(journal.HEAD_BYTES)}
    for position in sorted(p for p in heads | set(range(0, len(whole), 5)) if p < len(whole)):
        broken = bytearray(whole)
        broken[position] ^= 1 << random.integers(8)
        (folder / JOURNAL).write_bytes(broken)
        if position < ends[1]:  # in front of a committed episode: nothing is left out silently
            with pytest.raises(InputError, match=r"journal.bin: is damaged from byte"):
                journal.read_records(folder / JOURNAL, 0, 0)
            if position % 125 == 0:
                for writable in (False, True):
                    with pytest.raises(InputError, match="make the store again"):
                        EpisodeStore(folder, writable=writable)
                assert (folder / JOURNAL).read_bytes() == broken  # nothing is thrown away
        elif position % 35 == 0:
            store = EpisodeStore(folder)
            assert ids(store) == [e.header.episode_id for e in episodes[:2]]
            assert store.torn_bytes == ends[2] - ends[1] and store.verify() == []
            opened += 1
    assert opened > 20


def test_a_segment_that_was_only_begun(tmp_path: Path) -> None:
    """Killed while the file of a new segment is made or filled, at any size of it."""
    first, second = make(1, 3000), make(2, 3000)  # the second one reaches into a new segment
    folder = tmp_path / "s"
    with EpisodeStore(folder, writable=True) as store:
        store.append(first)
        end = (folder / JOURNAL).stat().st_size
        store.append(second)
    begun = folder / "segments" / "000001.rows"
    size = begun.stat().st_size
    journal_bytes = (folder / JOURNAL).read_bytes()
    random = np.random.default_rng(0)
    sizes = [None, 0, 1, 4095, 4096, size - 1, size, *random.integers(size, size=6).tolist()]
    for cut in sizes:
        (folder / JOURNAL).write_bytes(journal_bytes[: end + int(random.integers(40))])
        if cut is None:
            begun.unlink()
        else:
            os.truncate(begun, cut)
        assert ids(EpisodeStore(folder)) == [first.header.episode_id]
        with EpisodeStore(folder, writable=True) as store:
            assert ids(store) == [first.header.episode_id] and store.verify() == []
            assert store.append(second) and same(store.episode(second.header.episode_id), second)
    # The same files with the episode committed: that is damage, and is said.
    for cut in sizes[1:]:
        os.truncate(begun, cut)
        if cut != size:
            with pytest.raises(InputError, match=r"000001\.rows: has"):
                EpisodeStore(folder)
    shutil.rmtree(folder)
