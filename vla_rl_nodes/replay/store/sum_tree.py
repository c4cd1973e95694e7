"""Numbers in a tree of their sums, so that drawing in proportion to them costs their logarithm."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


class SumTree:
    """Positive numbers by place; places that were never set count as 0.

    Args:
        capacity: places, rounded up to a power of two.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = 1 << max(capacity - 1, 1).bit_length()
        # Node 1 is the root, 2n and 2n+1 are under node n, the last ``capacity`` are the places.
        self._sums = np.zeros(2 * self.capacity)
        self._least = np.full(2 * self.capacity, np.inf)

    @property
    def total(self) -> float:
        """Sum of all numbers."""
        return float(self._sums[1])

    @property
    def least(self) -> float:
        """The smallest number; infinity where there is none."""
        return float(self._least[1])

    def __getitem__(self, index: NDArray[np.int64]) -> NDArray[np.float64]:
        """The numbers at places."""
        return self._sums[self.capacity + index]

    def set(self, index: NDArray[np.int64], values: NDArray[np.float64]) -> None:
        """Puts positive numbers at places; of two for one place the last one counts."""
        nodes = self.capacity + index
        self._sums[nodes] = values
        self._least[nodes] = values
        while len(nodes) and nodes[0] > 1:
            nodes = np.unique(nodes >> 1)
            left, right = 2 * nodes, 2 * nodes + 1
            self._sums[nodes] = self._sums[left] + self._sums[right]
            self._least[nodes] = np.minimum(self._least[left], self._least[right])

    def find(self, mass: NDArray[np.float64]) -> NDArray[np.int64]:
        """For each mass from 0 up to the total, the place where the sum of all up to and with it
        first exceeds the mass; never a place that was not set."""
        nodes = np.ones(len(mass), dtype=np.int64)
        mass = mass.copy()
        for _ in range(self.capacity.bit_length() - 1):
            left = 2 * nodes
            below = self._sums[left]
            # Rounding may leave more mass than there is on the right: then the left is taken.
            right = (mass >= below) & (self._sums[left + 1] > 0)
            mass -= np.where(right, below, 0.0)
            nodes = left + right
        return nodes - self.capacity
