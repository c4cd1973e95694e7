"""Actions as the tokens of a language model: 256 bins an axis (OpenVLA, RT-2).

OpenVLA (arXiv 2406.09246) scales each axis so that the 1st and the 99th percentile of its
training data become -1 and 1, cuts that range with 256 edges and writes the interval's number
over the least used tokens, counted down from the end of the vocabulary.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vla_rl_nodes.errors import InputError

EDGES = 256
Array = NDArray[np.float64]


class ActionTokens:
    """Tokens to actions and back.

    Args:
        vocabulary: number of tokens that the language model was trained with, without padding
            (32000 for OpenVLA's Llama-2).
        low: 1st percentile of each axis [axes], in the server's units.
        high: 99th percentile of each axis [axes].
        scaled: per axis, whether it was scaled by the percentiles; the gripper's is often not
            and stands in the range of -1 to 1 as it is.

    Raises:
        InputError: lengths that differ, or a percentile range that is empty.
    """

    def __init__(
        self, vocabulary: int, low: Array, high: Array, scaled: NDArray[np.bool_]
    ) -> None:
        if not low.shape == high.shape == scaled.shape or low.ndim != 1:
            raise InputError("tokens", "low, high and scaled differ in length", "give each axis")
        if vocabulary < EDGES:
            raise InputError("tokens", f"a vocabulary of {vocabulary}", f"give {EDGES} or more")
        if not (low < high)[scaled].all():
            raise InputError("tokens", "low is not below high", "give the percentiles")
        self._vocabulary = vocabulary
        self._low = np.where(scaled, low, -1.0)
        self._high = np.where(scaled, high, 1.0)
        self._edges = np.linspace(-1.0, 1.0, EDGES)
        self._centres = (self._edges[:-1] + self._edges[1:]) / 2.0

    def encode(self, actions: Array) -> NDArray[np.int64]:
        """Tokens [..., axes] of actions [..., axes]; what lies outside takes the last bin."""
        share = 2.0 * (actions - self._low) / (self._high - self._low) - 1.0
        # The upper end gets a number of its own, one more than there are bins, as upstream.
        numbers = np.digitize(np.clip(share, -1.0, 1.0), self._edges)
        return np.asarray(self._vocabulary - numbers, dtype=np.int64)

    def decode(self, tokens: NDArray[np.integer]) -> Array:
        """Actions [..., axes] at the centres of the tokens' bins.

        Raises:
            InputError: a token that stands for no bin: the model has said something else.
        """
        numbers = self._vocabulary - tokens.astype(np.int64)
        if tokens.shape[-1:] != self._low.shape or numbers.min() < 1 or numbers.max() > EDGES:
            raise InputError(
                "tokens", "are not one action token for each axis", "check vocabulary and model"
            )
        share = self._centres[np.minimum(numbers - 1, EDGES - 2)]
        actions: Array = self._low + 0.5 * (share + 1.0) * (self._high - self._low)
        return actions
