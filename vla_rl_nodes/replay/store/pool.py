"""The steps that may begin a sample: those of one or more stores, growing with them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.replay.store.forms import Form
from vla_rl_nodes.replay.store.store import EpisodeStore, StoredEpisode

Where = Callable[[StoredEpisode, NDArray[np.void]], NDArray[np.bool_]]
ENTRY = np.dtype(
    [("row", "<i8"), ("begin", "<i8"), ("last", "<i8"), ("episode", "<i8"), ("source", "<i8")]
)


@dataclass(frozen=True)
class View:
    """The steps of a store that a predicate chooses.

    Attributes:
        store: the episodes.
        where: given an episode and its T rows of narrow arrays, which steps belong to the view,
            bool [T]; all of them by default. Of a slice or a chunk its first step counts.
    """

    store: EpisodeStore
    where: Where | None = None


def intervened(episode: StoredEpisode, steps: NDArray[np.void]) -> NDArray[np.bool_]:
    """The steps in which a person acted, for :class:`View`."""
    flags: NDArray[np.bool_] = steps["intervened"]
    return flags


def autonomous(episode: StoredEpisode, steps: NDArray[np.void]) -> NDArray[np.bool_]:
    """The steps in which no person acted, for :class:`View`."""
    return ~intervened(episode, steps)


@dataclass(frozen=True)
class Added:
    """What one episode brought into a pool.

    Attributes:
        episode: with its header.
        steps: int64 [n], numbers of its steps.
        first: place in the pool of the first of them; they are consecutive.
    """

    episode: StoredEpisode
    steps: NDArray[np.int64]
    first: int


class Pool:
    """Steps that can begin a sample of one form. What is in it keeps its place.

    Args:
        views: what to draw from; a step that is in two of them is in the pool twice.
        form: of the samples, which decides what a step needs to be in the pool.

    Attributes:
        added: what came in, in order; it grows with the pool.

    Raises:
        InputError: a form that asks for arrays that a store does not have.
    """

    def __init__(self, views: Sequence[View], form: Form) -> None:
        self.views = tuple(views)
        self.form = form
        self.added: list[Added] = []
        self._entries: NDArray[Any] = np.zeros(1024, dtype=ENTRY)
        self._size = 0
        self._seen = [0] * len(self.views)
        self.grow()

    def __len__(self) -> int:
        return self._size

    @property
    def entries(self) -> NDArray[Any]:
        """By place: row of the step, first and last row of its episode, number of the episode in
        its store, number of the view."""
        return self._entries[: self._size]

    def grow(self) -> int:
        """Takes in what has been committed since; returns how many steps are in the pool.

        Raises:
            InputError: a store is damaged or its arrays do not serve the form.
        """
        for source, view in enumerate(self.views):
            view.store.refresh()
            episodes = view.store.episodes
            for number in range(self._seen[source], len(episodes)):
                self._add(source, number, episodes[number])
                self._seen[source] = number + 1
        return self._size

    def filled(self) -> int:
        """Like :meth:`grow`, and never 0.

        Raises:
            InputError: there is nothing to draw from yet.
        """
        if not self.grow():
            names = ", ".join(str(view.store.folder) for view in self.views)
            raise InputError(
                names, "holds no step that can begin such a sample", "append more episodes, or ask"
                " for fewer arrays, a shorter length or another view",
            )  # fmt: skip
        return self._size

    def _add(self, source: int, number: int, episode: StoredEpisode) -> None:
        view = self.views[source]
        rows = view.store.rows
        begin, last = episode.row, episode.row + episode.steps
        self.form.check(view.store.schema)
        chosen = self.form.eligible(view.store.schema, rows.flags[begin : last + 1])
        if view.where is not None:
            chosen = chosen & view.where(episode, rows.record[begin:last])
        steps = np.flatnonzero(chosen)
        if not len(steps):
            return
        size = self._size + len(steps)
        if size > len(self._entries):
            grown = np.zeros(2 * size, dtype=ENTRY)
            grown[: self._size] = self._entries[: self._size]
            self._entries = grown
        new = self._entries[self._size : size]
        new["row"] = begin + steps
        new["begin"], new["last"], new["episode"], new["source"] = begin, last, number, source
        self.added.append(Added(episode, steps, self._size))
        self._size = size
