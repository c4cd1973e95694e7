"""Who is drawn: every step alike, by weights, or half from here and half from there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.replay.episode import EpisodeHeader
from vla_rl_nodes.replay.sidecars import load_label
from vla_rl_nodes.replay.store.forms import Form
from vla_rl_nodes.replay.store.hil import online_pool, shown_pool
from vla_rl_nodes.replay.store.pool import Pool
from vla_rl_nodes.replay.store.store import EpisodeStore

Weights = Callable[[EpisodeHeader], NDArray[Any]]


@dataclass(frozen=True)
class Picks:
    """What was drawn from one view.

    Attributes:
        store: that it is in.
        entries: of the pool, see :attr:`Pool.entries`.
        index: their places in the pool, int64.
        importance: of each sample in the loss, float32; None where all count alike.
    """

    store: EpisodeStore
    entries: NDArray[Any]
    index: NDArray[np.int64]
    importance: NDArray[np.float32] | None = None


class Chooser(Protocol):
    """Draws samples of one form, the same ones for the same seed and the same growth."""

    @property
    def form(self) -> Form:
        """Of the samples."""
        ...

    @property
    def sources(self) -> int:
        """How many views it draws from."""
        ...

    def choose(self, size: int) -> list[Picks]:
        """So many samples, with replacement, one entry of the list for each view.

        Raises:
            InputError: there is nothing to draw from.
        """
        ...


class OfOnePool:
    """What all choosers of a single pool have."""

    def __init__(self, pool: Pool, seed: int) -> None:
        self._pool = pool
        self._random = np.random.default_rng(seed)

    @property
    def form(self) -> Form:
        """See :class:`Chooser`."""
        return self._pool.form

    @property
    def sources(self) -> int:
        """See :class:`Chooser`."""
        return len(self._pool.views)


class Uniform(OfOnePool):
    """Every step of a pool alike."""

    def choose(self, size: int) -> list[Picks]:
        """See :class:`Chooser`."""
        return picked(self._pool, self._random.integers(self._pool.filled(), size=size))


class Weighted(OfOnePool):
    """Steps by weights that lie beside them.

    Args:
        pool: to draw from.
        seed: of the draws.
        weights: of the steps of an episode, [T], finite and not negative; asked once for each
            episode. 0 leaves a step out. Of a slice or a chunk the first step's counts.
    """

    def __init__(self, pool: Pool, seed: int, weights: Weights) -> None:
        super().__init__(pool, seed)
        self._weights = weights
        self._sums: NDArray[np.float64] = np.zeros(0)  # up to and with each entry of the pool
        self._seen = 0

    def choose(self, size: int) -> list[Picks]:
        """See :class:`Chooser`.

        Raises:
            InputError: nothing to draw from, or weights of another shape or range.
        """
        self._pool.filled()
        self._grow()
        total = self._sums[-1]
        if not total > 0:
            raise InputError("weights", "are all 0", "give at least one step a weight")
        drawn = np.searchsorted(self._sums, self._random.random(size) * total, side="right")
        last = np.searchsorted(self._sums, total)  # a product may be rounded up to the total
        return picked(self._pool, np.minimum(drawn, last))

    def _grow(self) -> None:
        parts = [self._sums]
        total = self._sums[-1] if len(self._sums) else 0.0
        for added in self._pool.added[self._seen :]:
            header = added.episode.header
            weights = np.asarray(self._weights(header), dtype=np.float64)
            fits = weights.shape == (header.steps,)
            if not fits or not np.isfinite(weights).all() or (weights < 0).any():
                raise InputError(
                    f"weights of episode {header.episode_id}",
                    f"are not {header.steps} finite numbers from 0 on",
                    "give one for each step",
                )
            parts.append(total + np.cumsum(weights[added.steps]))
            total = parts[-1][-1]
        self._seen = len(self._pool.added)
        self._sums = np.concatenate(parts)


def sidecar_weights(replay: Path, name: str, version: int) -> Weights:
    """The weights that a version of a label of kind ``weight`` gives.

    Args:
        replay: the folder of replay folders beside whose episodes the label lies.
        name: of the label.
        version: counted from 1.
    """

    def weights(header: EpisodeHeader) -> NDArray[Any]:
        label = load_label(replay, header, name, version)
        if label.header.kind != "weight":
            raise InputError(
                f"label '{name}'", f"is a {label.header.kind}, no weight", "name another label"
            )
        return label.values

    return weights


class Symmetric:
    """One half of each batch from one chooser, the other half from another (RLPD, Ball et al.
    2023, arXiv 2302.02948): what the robot lived through and what it was shown.

    Raises:
        InputError: the two draw samples of different forms.
    """

    def __init__(self, first: Chooser, second: Chooser) -> None:
        if first.form != second.form:
            raise InputError("symmetric", "needs two halves of one form", "give both the same")
        self._first, self._second = first, second

    @property
    def form(self) -> Form:
        """See :class:`Chooser`."""
        return self._first.form

    @property
    def sources(self) -> int:
        """See :class:`Chooser`."""
        return self._first.sources + self._second.sources

    def choose(self, size: int) -> list[Picks]:
        """See :class:`Chooser`; the first half stands first, and its sources are counted first.

        Raises:
            InputError: an odd size, or nothing to draw from on one side.
        """
        if size % 2:
            raise InputError(f"batch {size}", "has no two halves", "give an even number")
        second = self._second.choose(size // 2)
        for picks in second:
            picks.entries["source"] += self._first.sources
        return [*self._first.choose(size // 2), *second]


def online_and_shown(
    online: EpisodeStore, demonstrations: EpisodeStore, form: Form, seed: int
) -> Symmetric:
    """Half of everything that the robot did, half of what people showed (HIL-SERL, Luo et al.
    2024, arXiv 2410.21845); see :mod:`vla_rl_nodes.replay.store.hil`.

    Raises:
        InputError: a form that lets steps in of which nobody knows what was executed.
    """
    first, second = np.random.SeedSequence(seed).generate_state(2)
    return Symmetric(
        Uniform(online_pool(online, form), int(first)),
        Uniform(shown_pool(online, demonstrations, form), int(second)),
    )


def picked(
    pool: Pool, index: NDArray[np.int64], importance: NDArray[np.float32] | None = None
) -> list[Picks]:
    """Entries of a pool by their places, view by view and else in the order that is given."""
    index = index.astype(np.int64, copy=False)
    entries = np.take(pool.entries, index)
    if len(pool.views) == 1:
        return [Picks(pool.views[0].store, entries, index, importance)]
    found = []
    for source, view in enumerate(pool.views):
        of = np.flatnonzero(entries["source"] == source)
        if len(of):
            share = None if importance is None else importance[of]
            found.append(Picks(view.store, entries[of], index[of], share))
    return found
