from __future__ import annotations

from pathlib import Path

import pytest

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.replay.convert import convert_episode
from vla_rl_nodes.replay.episode import load_episode
from vla_rl_nodes.replay.store.fill import append_folders, stored_episodes
from vla_rl_nodes.replay.store.store import EpisodeStore

from ..episode_bag import make_episode
from .made import same


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    root = tmp_path_factory.mktemp("replay")
    found = []
    for seed in (51, 52, 53):
        episode = make_episode(seed, seconds=0.7)
        bag = episode.write(root / f"bag-{seed}")
        found.append(convert_episode(bag, episode.contract, root / "replay"))
    return found


def test_what_bags_were_converted_to_is_stored_once(folders: list[Path], tmp_path: Path) -> None:
    with EpisodeStore(tmp_path / "s", writable=True) as store:
        assert append_folders(store, folders[:2]) == 2
        assert append_folders(store, [folders[2], folders[0]]) == 1
        assert append_folders(store, folders) == 0
    reader = EpisodeStore(tmp_path / "s")
    episodes = list(stored_episodes(reader))
    assert len(episodes) == 3
    for episode, folder in zip(episodes, folders, strict=True):
        assert same(episode, load_episode(folder))


def test_a_damaged_folder_is_refused(folders: list[Path], tmp_path: Path) -> None:
    path = folders[1] / "reward.npy"
    whole = path.read_bytes()
    with EpisodeStore(tmp_path / "s", writable=True) as store:
        path.write_bytes(whole[:-1])
        with pytest.raises(InputError, match=r"reward\.npy: is damaged"):
            append_folders(store, folders)
        path.write_bytes(whole)
        assert len(store.episodes) == 1  # the one before it
        assert append_folders(store, folders) == 2
