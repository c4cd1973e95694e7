"""Episodes with an operator's labels: replay folders or a store, and the sidecars beside them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.contract.spec import Contract
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.learner.reward.recipe import RewardRecipe
from vla_rl_nodes.replay.episode import (
    HEADER,
    EpisodeData,
    EpisodeHeader,
    load_episode,
    load_header,
)
from vla_rl_nodes.replay.observe import Match
from vla_rl_nodes.replay.sidecars import Kind, Label, load_label, newest, versions
from vla_rl_nodes.replay.store.store import EpisodeStore, is_store


@dataclass(frozen=True)
class LabelledEpisode:
    """What a reward model is trained on or measured with; T steps have T + 1 observations.

    Attributes:
        header: of the episode.
        streams: by key, [T+1, ...]; those of the recipe alone.
        usable: whether the observation is what the policy saw, bool [T+1].
        success: whether the episode ended in success, by the operator or the predicate.
        reached: at which observations success counts as reached, bool [T+1], by a sidecar; None
            where there is none.
        progress: share of the task that is done at each observation, float32 [T+1], by a sidecar;
            None where there is none.
    """

    header: EpisodeHeader
    streams: dict[str, NDArray[Any]]
    usable: NDArray[np.bool_]
    success: bool
    reached: NDArray[np.bool_] | None
    progress: NDArray[np.float32] | None

    @property
    def observations(self) -> int:
        """T + 1."""
        return len(self.usable)


class LabelledEpisodes:
    """The episodes of a folder that ended in success, failure or time-out, read one by one.

    Attributes:
        headers: in the order of the episodes' ids.
        left_out: how many were aborted, which says nothing about the task.
    """

    def __init__(self, folder: Path, contract: Contract, recipe: RewardRecipe) -> None:
        """Looks at what is there.

        Args:
            folder: of replay folders, or a store.
            contract: what the episodes must have been recorded with.
            recipe: names the streams and the sidecars.

        Raises:
            InputError: nothing is there, an episode is of another contract, or the contract lacks
                a stream of the recipe.
        """
        known = [stream.key for stream in contract.streams]
        missing = next((key for key in recipe.streams if key not in known), None)
        if missing is not None:
            raise InputError(
                f"recipe {recipe.name}: streams",
                f"names '{missing}'",
                f"contract {contract.name} has {', '.join(known)}",
            )
        self._folder, self._recipe = folder, recipe
        self._keys = [key for key in known if key in recipe.streams]
        found = _headers(folder)
        for header in found:
            if header.contract_sha256 != contract.sha256:
                raise InputError(
                    folder / header.episode_id,
                    f"is of contract {header.contract} {header.contract_sha256[:12]}, not"
                    f" {contract.name} {contract.sha256[:12]}",
                    "convert it with the contract to train for",
                )
        self.headers = [header for header in found if header.outcome != "aborted"]
        self.left_out = len(found) - len(self.headers)
        if not self.headers:
            raise InputError(
                folder, "holds no labelled episode", "make some with vla-rl replay convert"
            )

    def __len__(self) -> int:
        return len(self.headers)

    def read(self, which: Sequence[int]) -> Iterator[LabelledEpisode]:
        """Those episodes, by index, one after the other: only one is in memory at a time.

        Raises:
            InputError: an episode or a sidecar is damaged.
        """
        if is_store(self._folder):
            with EpisodeStore(self._folder) as store:
                for index in which:
                    yield self._labelled(store.episode(self.headers[index].episode_id))
            return
        for index in which:
            yield self._labelled(load_episode(self._folder / self.headers[index].episode_id))

    def labels_sha256(self, which: Sequence[int]) -> str:
        """SHA-256 over the content of these episodes, their outcomes and their sidecars."""
        hasher = hashlib.sha256()
        for index in which:
            header = self.headers[index]
            hasher.update(f"{header.content_sha256} {header.outcome}\n".encode())
            for name in (self._recipe.success_label, self._recipe.progress_label):
                label = self._newest(header, name)
                if label is not None:
                    hasher.update(f"{name} {label.header.sha256}\n".encode())
        return hasher.hexdigest()

    def _labelled(self, episode: EpisodeData) -> LabelledEpisode:
        header, steps = episode.header, episode.transitions
        usable = np.append(steps.observation_match != Match.DIFFERS, True)
        reached = self._values(header, self._recipe.success_label, "success")
        if reached is not None:
            # What is reached in a step shows in the observation behind it.
            reached = np.concatenate([[False], reached])
        return LabelledEpisode(
            header=header,
            streams={key: steps.observations[key] for key in self._keys},
            usable=usable,
            success=header.outcome == "success" if reached is None else bool(reached.any()),
            reached=reached,
            progress=self._values(header, self._recipe.progress_label, "progress"),
        )

    def _values(self, header: EpisodeHeader, name: str, kind: Kind) -> NDArray[Any] | None:
        label = self._newest(header, name)
        if label is None:
            return None
        if label.header.kind != kind:
            raise InputError(
                f"{self._folder}: {header.episode_id}: label {name}",
                f"is of kind {label.header.kind}, not {kind}",
                "name another label in the recipe",
            )
        return label.values

    def _newest(self, header: EpisodeHeader, name: str) -> Label | None:
        """The newest version, as the last word of who labels."""
        if not versions(self._folder, header, name):
            return None
        return load_label(self._folder, header, name, newest(self._folder, header, name))


def _headers(folder: Path) -> list[EpisodeHeader]:
    if is_store(folder):
        with EpisodeStore(folder) as store:
            found = [stored.header for stored in store.episodes]
    else:
        places = [path.parent for path in folder.glob(f"*/{HEADER}")]
        found = [load_header(place) for place in places]
        for place, header in zip(places, found, strict=True):
            if place.name != header.episode_id:
                raise InputError(
                    place, f"holds episode {header.episode_id}", "rename the folder so"
                )
    return sorted(found, key=lambda header: header.episode_id)
