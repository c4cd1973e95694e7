"""FAST's compression of a chunk: cosine transform along time, scaled and rounded.

FAST (arXiv 2501.09747) writes the rounded coefficients with a byte-pair encoding; that last
step needs the vocabulary of the tokeniser and stays with the server, which sends the integers.
"""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@functools.cache
def cosines(steps: int) -> Array:
    """The orthonormal DCT-II of a length as a matrix [steps, steps]: coefficients = C @ chunk."""
    frequency = np.arange(steps)[:, None]
    time = np.arange(steps)[None, :]
    matrix: Array = np.sqrt(2.0 / steps) * np.cos(np.pi * (2 * time + 1) * frequency / (2 * steps))
    matrix[0] /= np.sqrt(2.0)
    matrix.setflags(write=False)  # it is shared
    return matrix


def encode(chunk: Array, scale: float) -> NDArray[np.int64]:
    """Rounded coefficients [steps, axes] of a chunk [steps, axes]."""
    return np.asarray(np.rint(scale * (cosines(len(chunk)) @ chunk)), dtype=np.int64)


def decode(coefficients: NDArray[np.integer], scale: float) -> Array:
    """The chunk [steps, axes] of coefficients [steps, axes]."""
    return np.asarray(cosines(len(coefficients)).T @ (coefficients / scale), dtype=np.float64)
