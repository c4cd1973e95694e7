"""Minimum, maximum, mean, deviation and quantiles, exact, one episode after another."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

QUANTILES = {"q01": 0.01, "q10": 0.10, "q50": 0.50, "q90": 0.90, "q99": 0.99}
Figures = dict[str, NDArray[Any]]


@dataclass
class VectorStatistics:
    """Of rows [n, ...], component by component; a row that is not finite as a whole is left out.

    Attributes:
        keeps_rows: keep all rows, so that :meth:`figures` gives quantiles too.
    """

    keeps_rows: bool
    _count: int = 0
    _minimum: NDArray[Any] | None = None
    _maximum: NDArray[Any] | None = None
    _mean: NDArray[np.float64] = field(default_factory=lambda: np.zeros(()))
    _squares: NDArray[np.float64] = field(default_factory=lambda: np.zeros(()))
    _rows: list[NDArray[Any]] = field(default_factory=list)

    def add(self, rows: NDArray[Any]) -> None:
        """Takes in rows of one shape and type; of flags, 0 and 1."""
        rows = rows.astype(np.uint8) if rows.dtype == np.bool_ else rows
        if rows.dtype.kind == "f":
            rows = rows[np.isfinite(rows).all(axis=tuple(range(1, rows.ndim)))]
        if not len(rows):
            return
        low, high = rows.min(axis=0), rows.max(axis=0)
        mean = rows.mean(axis=0, dtype=np.float64)
        squares = ((rows - mean) ** 2).sum(axis=0)
        if self._minimum is None or self._maximum is None:
            self._minimum, self._maximum = low, high
            self._count, self._mean, self._squares = len(rows), mean, squares
        else:
            # Two sets' squares about their own means, moved to the mean of both.
            total = self._count + len(rows)
            apart = mean - self._mean
            self._squares = self._squares + squares + apart**2 * (self._count * len(rows) / total)
            self._mean = self._mean + apart * (len(rows) / total)
            self._minimum = np.minimum(self._minimum, low)
            self._maximum = np.maximum(self._maximum, high)
            self._count = total
        if self.keeps_rows:
            self._rows.append(rows)

    def figures(self) -> Figures | None:
        """By name, each of a row's shape, at least [1]; None where no row was finite."""
        if self._minimum is None or self._maximum is None:
            return None
        found: Figures = {
            "min": self._minimum,
            "max": self._maximum,
            "mean": self._mean,
            "std": np.sqrt(self._squares / self._count),
        }
        if self._rows:
            rows = np.concatenate(self._rows)
            levels = np.quantile(rows.astype(np.float64), list(QUANTILES.values()), axis=0)
            found |= dict(zip(QUANTILES, levels, strict=True))
        found = {name: np.atleast_1d(value) for name, value in found.items()}
        return {**found, "count": np.array([self._count], dtype=np.int64)}


@dataclass
class ImageStatistics:
    """Of every pixel of uint8 images, channel by channel, with 255 as 1."""

    _images: int = 0
    _counts: NDArray[np.int64] = field(default_factory=lambda: np.zeros((3, 256), dtype=np.int64))

    def add(self, images: int, counts: NDArray[np.int64]) -> None:
        """Takes in the histogram [3, 256] of some images."""
        self._images += images
        self._counts += counts

    def figures(self) -> Figures | None:
        """By name, [3, 1, 1] each; None without an image."""
        if not self._images:
            return None
        values = np.arange(256) / 255.0
        pixels = self._counts[0].sum()
        mean = self._counts @ values / pixels
        squares = (self._counts * (values - mean[:, None]) ** 2).sum(axis=1) / pixels
        present = self._counts > 0
        reached = np.cumsum(self._counts, axis=1)
        found = {
            "min": values[present.argmax(axis=1)],
            "max": values[255 - present[:, ::-1].argmax(axis=1)],
            "mean": mean,
            "std": np.sqrt(squares),
        }
        for name, share in QUANTILES.items():  # the lowest value that so many pixels reach
            found[name] = values[(reached >= share * pixels).argmax(axis=1)]
        shaped: Figures = {name: value.reshape(3, 1, 1) for name, value in found.items()}
        return {**shaped, "count": np.array([self._images], dtype=np.int64)}
