"""Steps by priorities that change while they are learnt from."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.replay.store.choosers import OfOnePool, Picks, picked
from vla_rl_nodes.replay.store.pool import Pool
from vla_rl_nodes.replay.store.sum_tree import SumTree

_LEAST_CAPACITY = 1 << 14
_ABOVE_ZERO = 1e-8  # so that a priority of 0 is drawn hardly ever, but not never


class Prioritised(OfOnePool):
    """Draws a step with the share of its priority^alpha in the sum of all (Schaul et al. 2016,
    arXiv 1511.05952). What is new has the largest priority that there was until then, at first 1.

    A batch's ``at.importance`` is (p / smallest p)^-beta, where p is priority^alpha;
    ``at.index`` is what :meth:`update` takes. The numbers are those of TorchRL's
    ``PrioritizedSampler``, whose compiled part fits only one version of torch; this needs NumPy
    alone.

    Args:
        pool: to draw from.
        seed: of the draws.
        alpha: 0 draws all alike, 1 in proportion to the priorities.
        beta: how much ``at.importance`` makes up for it, 0 to 1.

    Raises:
        InputError: a negative alpha or beta.
    """

    def __init__(self, pool: Pool, seed: int, alpha: float = 0.6, beta: float = 0.4) -> None:
        if not (alpha >= 0 and beta >= 0):
            raise InputError(f"alpha {alpha}, beta {beta}", "is negative", "give 0 or more")
        super().__init__(pool, seed)
        self._alpha, self._beta = alpha, beta
        self._largest = 1.0
        self._tree = SumTree(_LEAST_CAPACITY)
        self._size = 0

    def choose(self, size: int) -> list[Picks]:
        """See :class:`Chooser`."""
        self._let_in(self._pool.filled())
        index = self._tree.find(self._random.random(size) * self._tree.total)
        importance = (self._tree[index] / self._tree.least) ** -self._beta
        return picked(self._pool, index, importance.astype(np.float32))

    def update(self, index: NDArray[np.int64], priorities: NDArray[Any]) -> None:
        """New priorities, such as sizes of temporal differences.

        Args:
            index: of samples, ``at.index`` of batches; of a repeated one the last priority counts.
            priorities: one for each, finite and not negative.

        Raises:
            InputError: places that cannot have been drawn, or priorities of another shape or
                range; then none is taken.
        """
        values = np.asarray(priorities, dtype=np.float64)
        fits = values.shape == index.shape and ((index >= 0) & (index < self._size)).all()
        if not fits or not np.isfinite(values).all() or (values < 0).any():
            raise InputError(
                "priorities",
                "are not one finite number from 0 on for each sample that was drawn",
                "give the batch's index and as many numbers",
            )
        if len(values):
            self._largest = max(self._largest, float(values.max()))
            self._tree.set(index, self._weights(values))

    def _weights(self, priorities: NDArray[np.float64]) -> NDArray[np.float64]:
        weights: NDArray[np.float64] = (priorities + _ABOVE_ZERO) ** self._alpha
        return weights

    def _let_in(self, size: int) -> None:
        """Gives what is new its first priority."""
        if size > self._tree.capacity:
            held = self._tree[np.arange(self._size)]
            self._tree = SumTree(2 * size)
            self._tree.set(np.arange(self._size), held)
        if size > self._size:
            new = np.arange(self._size, size)
            self._tree.set(new, self._weights(np.full(len(new), self._largest)))
            self._size = size
