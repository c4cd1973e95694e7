"""Replay folders or stores of episodes -> training windows in memory.

A window is one control tick: the observation at the tick, and as its label the whole chunk that
the demonstration expert published for it, which is free of the perturbation that was added to
what the robot did. The committed actions are the first rows of the same label.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.learner.recipe import Auxiliary
from vla_rl_nodes.replay.episode import EpisodeData, load_episode
from vla_rl_nodes.replay.observe import Match
from vla_rl_nodes.replay.store.store import EpisodeStore, is_store

_BOUND_SLACK = 1e-6  # float32 rounds bounds such as 0.15 upwards


@dataclass(frozen=True)
class Windows:
    """Training rows; N windows.

    Attributes:
        images: stream key -> uint8 [N, H, W, 3].
        proprio: the vector streams side by side, float32 [N, P], in the contract's units.
        chunk: label, float32 [N, H, A], in the contract's units.
        auxiliary: privileged position and (cos, sin) of four times the yaw, float32 [N, Q].
        episode: index of the window's episode, int64 [N].
    """

    images: dict[str, Tensor]
    proprio: Tensor
    chunk: Tensor
    auxiliary: Tensor
    episode: Tensor

    def __len__(self) -> int:
        return len(self.chunk)


@dataclass(frozen=True)
class Dataset:
    """Windows split by the episodes' seeds, and the hash of what they were made from."""

    train: Windows
    held_out: Windows
    episodes: int
    left_out: int  # ticks without a whole label, or whose observation could not be rebuilt
    sha256: str


def load_dataset(
    folders: Sequence[Path], contract: Contract, auxiliary: Auxiliary, held_out_every: int
) -> Dataset:
    """Reads episodes into memory and holds every n-th start out.

    Args:
        folders: each of one converted episode, or a store of them.
        contract: what the episodes must have been recorded with.
        auxiliary: names of the privileged scalars to learn to see.
        held_out_every: one of so many starts is kept for the offline figures.

    Raises:
        InputError: a folder is damaged, of another contract, without labels or without the
            privileged scalars; an episode stands twice; or too few starts to hold one out.
    """
    if not folders:
        raise InputError("replay", "holds no episode", "convert recorded episodes first")
    found = [entry for folder in sorted(folders) for entry in _load(folder, contract)]
    episodes = [episode for _, episode in found]
    hashes = [episode.header.content_sha256 for episode in episodes]
    if len(set(hashes)) != len(hashes):
        raise InputError("replay", "an episode stands twice", "give each folder once")
    starts = sorted({_start(episode) for episode in episodes})
    held_out = set(starts[held_out_every - 1 :: held_out_every])
    if not held_out:
        raise InputError(
            "replay",
            f"holds {len(starts)} different starts, none can be held out",
            f"record at least {held_out_every}",
        )
    parts: dict[bool, list[dict[str, Any]]] = {False: [], True: []}
    left_out = 0
    for index, (folder, episode) in enumerate(found):
        arrays, dropped = _windows(folder, episode, index, contract, auxiliary)
        left_out += dropped
        parts[_start(episode) in held_out].append(arrays)
    return Dataset(
        train=_joined(parts[False], contract),
        held_out=_joined(parts[True], contract),
        episodes=len(episodes),
        left_out=left_out,
        sha256=hashlib.sha256("\n".join(sorted(hashes)).encode()).hexdigest(),
    )


def _load(folder: Path, contract: Contract) -> list[tuple[Path, EpisodeData]]:
    """The episodes in a folder in the order of their ids, each with the place it came from."""
    if not is_store(folder):
        return [(folder, _of_contract(folder, load_episode(folder), contract))]
    with EpisodeStore(folder) as store:
        names = sorted(stored.header.episode_id for stored in store.episodes)
        return [
            (folder / name, _of_contract(folder / name, store.episode(name), contract))
            for name in names
        ]


def _of_contract(place: Path, episode: EpisodeData, contract: Contract) -> EpisodeData:
    given = episode.header.contract_sha256
    if given != contract.sha256:
        raise InputError(
            place,
            f"is of contract {episode.header.contract} {given[:12]}, not {contract.name}"
            f" {contract.sha256[:12]}",
            "convert it with the contract to train for",
        )
    return episode


def _start(episode: EpisodeData) -> tuple[int, str]:
    """What two episodes share when they start alike; without a seed each start is its own."""
    header = episode.header
    return (header.seed, "") if header.seed is not None else (-1, header.episode_id)


def _windows(
    folder: Path, episode: EpisodeData, index: int, contract: Contract, auxiliary: Auxiliary
) -> tuple[dict[str, NDArray[Any]], int]:
    steps = episode.transitions
    whole = np.isfinite(steps.chunk).all(axis=(1, 2))
    # What the policy really saw there is not known.
    usable = whole & (steps.observation_match != Match.DIFFERS)
    rows = np.flatnonzero(usable)
    if not len(rows):
        raise InputError(folder, "holds no labelled tick", "record the demonstration expert")
    label = steps.chunk[rows]
    low, high = contract.action.minimum - _BOUND_SLACK, contract.action.maximum + _BOUND_SLACK
    if (label < low).any() or (label > high).any():
        raise InputError(
            folder / "chunk.npy", "leaves the contract's bounds", "record with this contract"
        )
    arrays = steps.observations
    vectors = [arrays[s.key][rows] for s in contract.streams if s.kind == "vector"]
    windows: dict[str, NDArray[Any]] = {
        s.key: arrays[s.key][rows] for s in contract.streams if s.kind == "image"
    }
    windows["proprio"] = np.concatenate(vectors, axis=1)
    windows["chunk"] = label
    windows["auxiliary"] = _auxiliary(folder, episode, rows, auxiliary)
    windows["episode"] = np.full(len(rows), index, dtype=np.int64)
    return windows, len(usable) - len(rows)


def _auxiliary(
    folder: Path, episode: EpisodeData, rows: NDArray[np.int64], auxiliary: Auxiliary
) -> NDArray[np.float32]:
    names = episode.header.privileged_names
    state = episode.transitions.privileged
    wanted = [*auxiliary.position, *auxiliary.quaternion_wxyz]
    missing = next((name for name in wanted if name not in names), None)
    if state is None or missing is not None:
        raise InputError(
            folder, f"has no privileged '{missing}'", "record sim/state or correct the recipe"
        )
    state = state[rows]
    position = state[:, [names.index(name) for name in auxiliary.position]]
    w, x, y, z = state[:, [names.index(name) for name in auxiliary.quaternion_wxyz]].T
    yaw = np.arctan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z))
    turn = np.stack([np.cos(4 * yaw), np.sin(4 * yaw)], axis=1)
    labels: NDArray[np.float32] = np.concatenate([position, turn], axis=1).astype(np.float32)
    return labels


def _joined(parts: Sequence[dict[str, NDArray[Any]]], contract: Contract) -> Windows:
    def stack(key: str) -> Tensor:
        return torch.from_numpy(np.concatenate([part[key] for part in parts]))

    return Windows(
        images={s.key: stack(s.key) for s in contract.streams if s.kind == "image"},
        proprio=stack("proprio"),
        chunk=stack("chunk"),
        auxiliary=stack("auxiliary"),
        episode=stack("episode"),
    )
