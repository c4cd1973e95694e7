from __future__ import annotations

import errno
import os
import resource
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.replay.episode import EpisodeData
from vla_rl_nodes.replay.store.lock import JOURNAL
from vla_rl_nodes.replay.store.segments import columns_of
from vla_rl_nodes.replay.store.store import EpisodeStore

from .made import Flaws, changed, make, same

FLAWED = Flaws(0.2, 0.2, 0.1)


def refused(said: str, call: Callable[[], object]) -> None:
    with pytest.raises(InputError, match=said) as caught:
        call()
    assert "\n" not in str(caught.value) and "; " in str(caught.value)


def holds(store: EpisodeStore, episodes: list[EpisodeData]) -> bool:
    ids = [stored.header.episode_id for stored in store.episodes]
    return (
        ids == [episode.header.episode_id for episode in episodes]
        and len(store) == sum(episode.header.steps for episode in episodes)
        and all(same(store.episode(e.header.episode_id), e) for e in episodes)
        and store.verify() == []
    )


def test_what_was_appended_is_what_comes_back(tmp_path: Path) -> None:
    episodes = [make(seed, 1 + 3 * seed, FLAWED) for seed in range(6)]
    with EpisodeStore(tmp_path / "s", writable=True) as store:
        assert len(store) == 0 and store.verify() == []
        assert [store.append(episode) for episode in episodes] == [True] * 6
        assert holds(store, episodes)
    assert holds(EpisodeStore(tmp_path / "s"), episodes)
    with EpisodeStore(tmp_path / "s", writable=True) as store:
        episodes.append(make(99, 5))
        store.append(episodes[-1])
        assert holds(store, episodes) and store.torn_bytes == 0


def test_rows_do_not_move_when_segments_are_added(tmp_path: Path) -> None:
    store = EpisodeStore(tmp_path / "s", writable=True)
    episodes = [make(seed, 1500) for seed in range(4)]  # the third one lies in two segments
    store.append(episodes[0])
    before = store.rows
    kept = before.wide["scene"].copy()
    for episode in episodes[1:]:
        store.append(episode)
    assert len(list((tmp_path / "s" / "segments").iterdir())) == 2
    np.testing.assert_array_equal(before.wide["scene"], kept)
    assert holds(store, episodes) and holds(EpisodeStore(tmp_path / "s"), episodes)
    with pytest.raises(ValueError, match="read-only"):
        store.rows.wide["scene"][0] = 0


def test_many_segments_need_more_addresses(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("vla_rl_nodes.replay.store.segments._FIRST_SEGMENTS", 1)
    store = EpisodeStore(tmp_path / "s", writable=True)
    episodes = [make(seed, 1500) for seed in range(6)]  # three segments
    held = []
    for episode in episodes:
        store.append(episode)
        held.append(store.rows)
    assert holds(store, episodes)
    for rows in held:  # the arrays of before live on in the addresses of before
        np.testing.assert_array_equal(
            rows.wide["scene"], store.rows.wide["scene"][: len(rows.flags)]
        )


def test_the_same_episode_twice_is_stored_once(tmp_path: Path) -> None:
    store = EpisodeStore(tmp_path / "s", writable=True)
    episode = make(1, 8)
    assert store.append(episode)
    size = (tmp_path / "s" / JOURNAL).stat().st_size
    assert not store.append(episode)
    other = changed(episode, reward=episode.transitions.reward + 1)
    refused("with other content", lambda: store.append(other))
    assert (tmp_path / "s" / JOURNAL).stat().st_size == size and holds(store, [episode])


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"reward": np.zeros(8)}, "array 'reward' is <f8.* the store's is <f4"),
        ({"privileged": np.zeros((8, 3))}, r"'privileged' is <f8\[3\] for each step"),
        ({"privileged": None}, "lacks the array 'privileged'"),
        ({"observations": {"scene": np.zeros((9, 2), np.uint8)}}, "lacks the array 'mask'"),
        ({"contract_sha256": "d" * 64}, "contract_sha256 is d"),
        ({"privileged_names": ["q", "p"]}, "privileged_names is"),
        ({"chunk_id": np.zeros(5, np.int32)}, r"'chunk_id' is <i4\[5\] in an episode of 8 steps"),
        ({"chunk_id": np.array(["x"] * 8)}, "'chunk_id' is <U1"),
        ({"chunk_id": np.zeros(9, np.int32)}, "'chunk_id' is .* for each observation, the store"),
    ],
)  # fmt: skip
def test_an_episode_that_does_not_fit_is_refused(
    tmp_path: Path, arrays: dict[str, Any], said: str
) -> None:
    store = EpisodeStore(tmp_path / "s", writable=True)
    store.append(make(1, 8))
    other = changed(make(2, 8), **arrays)
    refused(f"episode made-0002: .*{said}", lambda: store.append(other))
    assert holds(store, [make(1, 8)])


def test_arrays_that_are_not_those_of_their_hash_are_refused(tmp_path: Path) -> None:
    store = EpisodeStore(tmp_path / "s", writable=True)
    wrong = EpisodeData(make(1, 8).header, make(2, 8).transitions)
    refused("other arrays or critiques than its content_sha256", lambda: store.append(wrong))
    refused("holds no episode", lambda: store.rows)
    refused("holds no episode", lambda: store.schema)


def test_one_writer_and_many_readers(tmp_path: Path) -> None:
    refused("cannot be read", lambda: EpisodeStore(tmp_path / "s"))
    with EpisodeStore(tmp_path / "s", writable=True) as store:
        reader = EpisodeStore(tmp_path / "s")
        assert len(reader) == 0 and reader.refresh() == 0
        refused("being written by another", lambda: EpisodeStore(tmp_path / "s", writable=True))
        for seed in range(3):
            store.append(make(seed, 6))
            assert reader.refresh() == 1 and reader.refresh() == 0
            assert holds(reader, [make(s, 6) for s in range(seed + 1)])
        refused("was opened to be read", lambda: reader.append(make(7, 6)))
    refused("was opened to be read", lambda: store.append(make(7, 6)))  # it is closed
    with EpisodeStore(tmp_path / "s", writable=True) as again:
        again.append(make(3, 6))
    assert reader.refresh() == 1
    refused("is not in", lambda: reader.episode("made-0009"))


def test_another_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").touch()
    refused("is not empty and no store", lambda: EpisodeStore(tmp_path / "photos", writable=True))
    assert [p.name for p in (tmp_path / "photos").iterdir()] == ["a.jpg"]


def test_damage_in_a_segment_is_named(tmp_path: Path) -> None:
    with EpisodeStore(tmp_path / "s", writable=True) as store:
        for seed in range(3):
            store.append(make(seed, 6, FLAWED))
        columns = columns_of(store.schema)
        row = store.episodes[1].row
    path = tmp_path / "s" / "segments" / "000000.rows"
    reader = EpisodeStore(tmp_path / "s")
    for name, column in columns.items():
        at = column.offset + (row + 2) * column.row_bytes + 1
        with path.open("r+b") as file:
            file.seek(at)
            byte = file.read(1)[0]
            file.seek(at)
            file.write(bytes([byte ^ 4]))
        damage = reader.verify()
        assert len(damage) == 1 and "000000.rows: holds episode made-0001 damaged; " in damage[0]
        refused("made-0001 damaged", lambda: reader.episode("made-0001"))
        with path.open("r+b") as file:
            file.seek(at)
            file.write(bytes([byte]))
        assert reader.verify() == [], name


def test_segments_that_are_gone_or_short_are_named(tmp_path: Path) -> None:
    with EpisodeStore(tmp_path / "s", writable=True) as store:
        store.append(make(1, 6))
    path = tmp_path / "s" / "segments" / "000000.rows"
    size = path.stat().st_size
    for wrong in (0, size // 2, size - 1, size + 1):
        os.truncate(path, wrong)
        for writable in (False, True):
            refused(
                f"000000.rows: has {wrong} bytes, not {size}",
                lambda w=writable: EpisodeStore(tmp_path / "s", writable=w),  # type: ignore[misc]
            )
    path.unlink()
    refused("000000.rows: cannot be read", lambda: EpisodeStore(tmp_path / "s"))


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_costs_only_what_is_not_acknowledged(tmp_path: Path) -> None:
    store = EpisodeStore(tmp_path / "s", writable=True)
    with largest_file(1000):
        refused("file too large.*made-0001 is not stored", lambda: store.append(make(1, 1500)))
    assert len(store) == 0 and len(EpisodeStore(tmp_path / "s")) == 0
    episodes = [make(1, 1500), make(2, 1500)]
    for episode in episodes:
        store.append(episode)
    with largest_file((tmp_path / "s" / "segments" / "000000.rows").stat().st_size // 2):
        refused("file too large", lambda: store.append(make(3, 1500)))
    assert holds(EpisodeStore(tmp_path / "s"), episodes)
    episodes.append(make(3, 1500))
    assert store.append(episodes[-1]) and holds(store, episodes)
    assert holds(EpisodeStore(tmp_path / "s"), episodes)


def test_every_write_may_fail(tmp_path: Path, monkeypatch: Any) -> None:
    """Each system call of an append fails once: nothing is half stored, and it works again."""
    calls = {"left": 10**9}

    def failing(name: str) -> Callable[..., Any]:
        real = getattr(os, name)

        def call(*arguments: Any, **named: Any) -> Any:
            calls["left"] -= 1
            if calls["left"] == 0:
                if name == "pwrite" and len(arguments[1]) > 1:
                    real(arguments[0], arguments[1][: len(arguments[1]) // 2], arguments[2])
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return real(*arguments, **named)

        return call

    for name in ("pwrite", "fsync", "fdatasync", "ftruncate", "open"):
        monkeypatch.setattr(os, name, failing(name))
    said: list[str] = []
    for first in (True, False):
        for number in range(1, 40):
            folder = tmp_path / f"{first}-{number}"
            with EpisodeStore(folder, writable=True) as store:
                episodes = [] if first else [make(1, 6)]
                for episode in episodes:
                    store.append(episode)
                calls["left"] = number
                try:
                    store.append(make(2, 12))
                    break
                except InputError as error:
                    said.append(str(error))
                finally:
                    calls["left"] = 10**9
                assert holds(EpisodeStore(folder), episodes) and holds(store, episodes)
                episodes.append(make(2, 12))
                assert store.append(episodes[-1]) and holds(store, episodes)
            assert holds(EpisodeStore(folder), episodes)
    assert all("no space left on device" in line for line in said)
    assert len(said) >= 16  # segment, its folder, columns, journal, and their way to the disk


def test_one_thread_appends_while_another_reads(tmp_path: Path) -> None:
    store = EpisodeStore(tmp_path / "s", writable=True)
    episodes = [make(seed, 40 + seed) for seed in range(30)]
    failed: list[BaseException] = []

    def read() -> None:
        try:
            seen = 0
            while seen < len(episodes):
                seen = len(store.episodes)
                for number in range(max(0, seen - 2), seen):
                    assert same(store.episode(f"made-{number:04d}"), episodes[number])
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    for episode in episodes:
        store.append(episode)
    thread.join(timeout=60)
    assert not thread.is_alive() and not failed and holds(store, episodes)


def test_a_disk_that_fails_altogether_ends_the_writing(tmp_path: Path, monkeypatch: Any) -> None:
    """What the journal holds is unknown then, so that nothing may be written behind it."""
    store = EpisodeStore(tmp_path / "s", writable=True)
    store.append(make(1, 6))

    def fail(*arguments: Any) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        patch.setattr(os, "ftruncate", fail)
        refused("input/output error.*made-0002 is not stored", lambda: store.append(make(2, 6)))
    refused("has failed; open it as a writer", lambda: store.append(make(3, 6)))
    assert holds(store, [make(1, 6)])
    store.close()
    with EpisodeStore(tmp_path / "s", writable=True) as again:
        again.append(make(2, 6))  # whether or not it reached the disk before
        assert again.append(make(3, 6)) and holds(again, [make(n, 6) for n in (1, 2, 3)])
