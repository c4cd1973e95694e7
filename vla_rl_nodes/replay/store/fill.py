"""Replay folders into a store, and stores into the learner's episodes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from vla_rl_nodes.replay.episode import EpisodeData, load_episode, load_header
from vla_rl_nodes.replay.store.store import EpisodeStore


def append_folders(store: EpisodeStore, folders: Sequence[Path]) -> int:
    """Commits the episodes of replay folders that are not stored yet, in the order of their ids.

    What is stored already costs a look at its description, so this may be repeated at will.

    Args:
        store: opened as a writer.
        folders: one for each episode.

    Returns:
        How many episodes were added.

    Raises:
        InputError: a folder is damaged, or its episode does not fit the store; what was added
            before stays.
    """
    added = 0
    for folder in sorted(folders, key=lambda path: path.name):
        header = load_header(folder)
        held = store.find(header.episode_id)
        if held is None or held.header.content_sha256 != header.content_sha256:
            added += store.append(load_episode(folder))
    return added


def stored_episodes(store: EpisodeStore) -> Iterator[EpisodeData]:
    """The committed episodes one by one, each checked against its hash.

    Raises:
        InputError: an episode is damaged.
    """
    for stored in tuple(store.episodes):
        yield store.episode(stored.header.episode_id)
